import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Sends page images: java -cp 'kafka-clients.jar:...' PageProducer.java localhost:9092 report-7 scan-1.jpg scan-2.jpg */
public class PageProducer {
    public static void main(String[] arguments) throws Exception {
        String document = arguments[1];
        String topic = System.getenv().getOrDefault("PREFIX", "") + "pages";
        List<Path> images = new ArrayList<>();
        for (int at = 2; at < arguments.length; at++) images.add(Path.of(arguments[at]));

        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("acks", "all");
        settings.put("max.request.size", 8 * 1024 * 1024);
        settings.put("key.serializer", StringSerializer.class.getName());
        settings.put("value.serializer", ByteArraySerializer.class.getName());

        try (KafkaProducer<String, byte[]> producer = new KafkaProducer<>(settings)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int at = 0; at < images.size(); at++) {
                byte[] image = Files.readAllBytes(images.get(at));
                int page = at + 1;
                var record = new ProducerRecord<>(topic, "default/" + document + "/" + page, image);
                Map<String, String> headers = Map.of(
                    "folio-tenant", "default",
                    "folio-doc-id", document,
                    "folio-version", "1",
                    "folio-page", String.valueOf(page),
                    "folio-page-count", String.valueOf(images.size()),
                    "folio-sha256", HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(image)));
                headers.forEach((name, value) -> record.headers().add(name, value.getBytes(StandardCharsets.UTF_8)));
                sent.add(producer.send(record));
            }
            for (Future<RecordMetadata> one : sent) one.get();
            System.out.println(images.size() + " pages of " + document + " are on the log");
        }
    }
}
