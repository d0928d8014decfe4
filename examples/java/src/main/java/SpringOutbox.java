import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.transaction.annotation.Propagation;
import org.springframework.transaction.annotation.Transactional;

/** The outbox for Spring: the part to copy. JdbcTemplate uses the connection of the transaction that is open. */
class SpringOutbox {
    private static final ObjectMapper JSON = new ObjectMapper();
    private final JdbcTemplate jdbc;

    SpringOutbox(JdbcTemplate jdbc) {
        this.jdbc = jdbc;
    }

    /** MANDATORY: outside of a transaction it throws, for there an event would be published whatever happens next. */
    @Transactional(propagation = Propagation.MANDATORY)
    public void emit(String topic, String key, Object payload, Map<String, String> headers) throws JsonProcessingException {
        jdbc.update("insert into outbox.event (topic, key, payload, headers) values (?, ?, ?, ?::jsonb)", topic,
                key.getBytes(StandardCharsets.UTF_8), JSON.writeValueAsBytes(payload), JSON.writeValueAsString(headers));
    }
}
