import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.Map;

/** The outbox for plain JDBC: the part to copy. */
final class Outbox {
    private static final ObjectMapper JSON = new ObjectMapper();

    private Outbox() {}

    /** Inserts one event into the transaction of the connection: it is published if and only if that commits. */
    static void emit(Connection connection, String topic, String key, Object payload, Map<String, String> headers)
            throws SQLException, JsonProcessingException {
        try (var insert = connection.prepareStatement(
                "insert into outbox.event (topic, key, payload, headers) values (?, ?, ?, ?::jsonb)")) {
            insert.setString(1, topic);
            insert.setBytes(2, key.getBytes(StandardCharsets.UTF_8));
            insert.setBytes(3, JSON.writeValueAsBytes(payload));
            insert.setString(4, JSON.writeValueAsString(headers));
            insert.executeUpdate();
        }
    }
}
