import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.Map;

/** Sets the price of an article and tells the rest of the world, in one transaction: JDBC and outbox.event. */
final class Reprice {
    /** The payload of article.priced, whose key is the SKU. */
    record Priced(String sku, int price_cents) {}

    static final Map<String, String> HEADERS = Map.of("content-type", "application/json", "editor", "Zoë");

    static final String UPSERT = "insert into article (sku, price_cents) values (?, ?)"
            + " on conflict (sku) do update set price_cents = excluded.price_cents";

    /** The use case said no. */
    static final class Refused extends RuntimeException {}

    private Reprice() {}

    /**
     * Never commits: it is given a connection. The row first, and with it its lock, then the event: so the events of an
     * article stand in the order of its prices.
     */
    private static void reprice(Connection connection, String sku, int cents) throws Exception {
        try (var upsert = connection.prepareStatement(UPSERT)) {
            upsert.setString(1, sku);
            upsert.setInt(2, cents);
            upsert.executeUpdate();
        }
        Outbox.emit(connection, "article.priced", sku, new Priced(sku, cents), HEADERS);
    }

    private static void inTransaction(Connection connection, Arguments arguments) throws Exception {
        connection.setAutoCommit(false);
        try {
            reprice(connection, arguments.sku(), arguments.cents());
            if (arguments.refuse()) {
                throw new Refused();
            }
            connection.commit();
        } catch (Exception failure) {
            try {
                connection.rollback();
            } catch (SQLException lost) {
                failure.addSuppressed(lost); // a lost connection rolls back too, and the first error is the one that explains
            }
            throw failure;
        }
    }

    public static void main(String[] argv) {
        var arguments = Arguments.parse("Reprice", argv);
        try (var connection = DriverManager.getConnection(arguments.url())) {
            inTransaction(connection, arguments);
        } catch (Refused refused) {
            return;
        } catch (Exception failure) {
            System.err.println("reprice: " + failure.getMessage());
            System.exit(Arguments.isUnavailable(failure) ? 69 : 1);
        }
    }
}
