/* Publishes files to Turnlog's inbox from outside: Kafka and Avro, nothing of Turnlog's own. With a JDK, 17 or newer:
 *
 * java -cp 'libs/*' Publish.java --collection NAME FILE... [--retract DOCUMENT_ID]...
 *
 * libs holds six jars: org.apache.kafka:kafka-clients:4.3.1, org.apache.avro:avro:1.12.1, and what these need:
 * org.slf4j:slf4j-api:1.7.36, com.fasterxml.jackson.core:jackson-databind:2.21.2, :jackson-core:2.21.2 and
 * :jackson-annotations:2.21. Other options: --kafka HOST:PORT, --registry URL, --topic YOUR_INBOX. */

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.*;
import java.net.URI;
import java.net.http.*;
import java.nio.ByteBuffer;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.ConcurrentSkipListMap;
import org.apache.avro.Schema;
import org.apache.avro.generic.*;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.*;

public class Publish {
    /** A schema, and the id that the registry has for it. */
    record Contract(int id, Schema schema) {
        static Contract latest(String subject) throws IOException, InterruptedException {
            var request = HttpRequest.newBuilder(URI.create(subject + "/versions/latest")).build();
            var answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
            if (answer.statusCode() != 200) throw new IOException(request.uri() + " says " + answer.body());
            var found = new ObjectMapper().readTree(answer.body());
            return new Contract(found.get("id").asInt(), new Schema.Parser().parse(found.get("schema").asText()));
        }

        /** Confluent's wire format: a zero byte, the schema's id, the Avro body. Other fields have their defaults. */
        byte[] encode(Map<String, Object> fields) throws IOException {
            var event = new GenericRecordBuilder(schema).set("event_id", UUID.randomUUID().toString());
            event.set("occurred_at", System.currentTimeMillis());
            fields.forEach(event::set);
            var bytes = new ByteArrayOutputStream();
            bytes.writeBytes(ByteBuffer.allocate(5).put((byte) 0).putInt(id).array());
            var body = EncoderFactory.get().directBinaryEncoder(bytes, null);
            new GenericDatumWriter<GenericRecord>(schema).write(event.build(), body);
            return bytes.toByteArray();
        }
    }

    public static void main(String[] arguments) throws Exception {
        var given = new HashMap<>(Map.of("--kafka", "127.0.0.1:19092", "--topic", "documents-local"));
        given.putAll(Map.of("--registry", "http://127.0.0.1:19081/apis/ccompat/v7", "--collection", ""));
        var files = new LinkedHashMap<String, Path>(); // by the document's id; null: it is retracted
        for (var words = List.of(arguments).iterator(); words.hasNext(); ) {
            var word = words.next();
            if (word.equals("--retract")) files.put(words.next(), null);
            else if (!word.startsWith("--")) files.put(Path.of(word).getFileName().toString(), Path.of(word));
            else if (given.replace(word, words.next()) == null) throw new IllegalArgumentException("no option " + word);
        }
        String kafka = given.get("--kafka"), topic = given.get("--topic"), collection = given.get("--collection");
        if (collection.isEmpty()) throw new IllegalArgumentException("--collection NAME is missing");
        var subject = given.get("--registry") + "/subjects/" + topic + "-turnlog.";
        var published = Contract.latest(subject + "DocumentPublished");
        var retracted = Contract.latest(subject + "DocumentRetracted");
        var missing = new ConcurrentSkipListMap<String, String>(); // until the broker says that it has it
        files.keySet().forEach(id -> missing.put(id, "no answer of " + kafka));
        Map<String, Object> settings = Map.of("bootstrap.servers", kafka, "acks", "all", "enable.idempotence", true,
                "max.request.size", 2 * 1024 * 1024, "max.block.ms", 10_000, "delivery.timeout.ms", 40_000);
        // Its own partitioner takes murmur2 of the key: one document, one partition, whoever publishes it.
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer())) {
            producer.partitionsFor(topic); // a broker that is away is waited for once, not for each file
            for (var id : files.keySet()) {
                var file = files.get(id);
                Map<String, Object> fields = new HashMap<>(Map.of("collection_id", collection, "document_id", id));
                if (file != null) {
                    var kind = id.endsWith(".md") ? "text/markdown" : Files.probeContentType(file);
                    fields.put("media_type", kind == null ? "text/plain" : kind);
                    fields.put("content", ByteBuffer.wrap(Files.readAllBytes(file)));
                }
                var event = (file == null ? retracted : published).encode(fields);
                producer.send(new ProducerRecord<>(topic, id, event), (place, why) ->
                        missing.compute(id, (key, none) -> why == null ? null : why.getMessage()));
            }
        } catch (TimeoutException away) {
            System.err.println(away.getMessage());
        } // leaving the block has waited for the broker's word on each record
        missing.forEach((id, why) -> System.err.println(id + " was not delivered: " + why));
        System.exit(missing.isEmpty() ? 0 : 1);
    }
}
