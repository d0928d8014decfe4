import javax.sql.DataSource;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.jdbc.datasource.DriverManagerDataSource;
import org.springframework.jdbc.support.JdbcTransactionManager;
import org.springframework.transaction.PlatformTransactionManager;
import org.springframework.transaction.annotation.EnableTransactionManagement;
import org.springframework.transaction.annotation.Transactional;

/** The same as Reprice with Spring's @Transactional. */
final class SpringReprice {
    private SpringReprice() {}

    /** The use case. rollbackFor: Spring commits when a checked exception is thrown, unless told otherwise. */
    static class Prices {
        private final JdbcTemplate jdbc;
        private final SpringOutbox outbox;

        Prices(JdbcTemplate jdbc, SpringOutbox outbox) {
            this.jdbc = jdbc;
            this.outbox = outbox;
        }

        @Transactional(rollbackFor = Exception.class)
        public void reprice(String sku, int cents, boolean refuse) throws Exception {
            jdbc.update(Reprice.UPSERT, sku, cents);
            outbox.emit("article.priced", sku, new Reprice.Priced(sku, cents), Reprice.HEADERS);
            if (refuse) {
                throw new Reprice.Refused();
            }
        }
    }

    @Configuration
    @EnableTransactionManagement(proxyTargetClass = true)
    static class Beans {
        @Bean
        DataSource dataSource() {
            return new DriverManagerDataSource(System.getProperty("url"));
        }

        @Bean
        PlatformTransactionManager transactions(DataSource dataSource) {
            return new JdbcTransactionManager(dataSource);
        }

        @Bean
        JdbcTemplate jdbc(DataSource dataSource) {
            return new JdbcTemplate(dataSource);
        }

        @Bean
        SpringOutbox outbox(JdbcTemplate jdbc) {
            return new SpringOutbox(jdbc);
        }

        @Bean
        Prices prices(JdbcTemplate jdbc, SpringOutbox outbox) {
            return new Prices(jdbc, outbox);
        }
    }

    public static void main(String[] argv) {
        var arguments = Arguments.parse("SpringReprice", argv);
        System.setProperty("url", arguments.url());
        try (var context = new AnnotationConfigApplicationContext(Beans.class)) {
            context.getBean(Prices.class).reprice(arguments.sku(), arguments.cents(), arguments.refuse());
        } catch (Reprice.Refused refused) {
            return;
        } catch (Exception failure) {
            System.err.println("reprice: " + failure.getMessage());
            System.exit(Arguments.isUnavailable(failure) ? 69 : 1);
        }
    }
}
