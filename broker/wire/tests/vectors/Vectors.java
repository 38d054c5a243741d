// Writes messages.txt and batches.txt with Apache Kafka's own classes, for the tests beside them.
// Run in this folder, with LIBS a folder that holds kafka-clients 4.3.1 and its dependencies and
// jackson-databind (mvn dependency:copy-dependencies):
//   java -cp 'LIBS/*' Vectors.java ../../schema

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.PrintWriter;
import java.lang.reflect.Method;
import java.lang.reflect.ParameterizedType;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Collectors;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;

public class Vectors {
    /** Whether nullable fields are null, and tagged fields are left at their defaults. */
    static boolean sparse;

    public static void main(String[] arguments) throws Exception {
        messages(Path.of(arguments[0]));
        batches();
    }

    static void messages(Path schemas) throws Exception {
        try (PrintWriter out = new PrintWriter("messages.txt")) {
            out.println("# Message, versions, which values, bytes. Written by Vectors.java.");
            List<Path> paths = Files.list(schemas).sorted().collect(Collectors.toList());
            for (Path path : paths) {
                JsonNode schema = new ObjectMapper().readTree(path.toFile());
                for (String kind : List.of("full", "sparse")) {
                    sparse = kind.equals("sparse");
                    message(out, schema, kind);
                }
            }
        }
    }

    /** One line for every run of versions that have the same bytes. */
    static void message(PrintWriter out, JsonNode schema, String kind) throws Exception {
        String name = schema.get("name").asText();
        int[] valid = range(schema.get("validVersions").asText());
        String previous = null;
        int first = valid[0];
        for (int version = valid[0]; version <= valid[1] + 1; version++) {
            String bytes = version > valid[1] ? null : encode(schema, name, (short) version);
            if (previous != null && !previous.equals(bytes)) {
                out.println(name + " " + first + "-" + (version - 1) + " " + kind + " " + previous);
                first = version;
            }
            previous = bytes;
        }
    }

    static String encode(JsonNode schema, String name, short version) throws Exception {
        Class<?> type = Class.forName("org.apache.kafka.common.message." + name + "Data");
        ApiMessage message = (ApiMessage) type.getConstructor().newInstance();
        fill(schema, message, schema.get("fields"), version);
        return hex(MessageUtil.toByteBufferAccessor(message, version).buffer());
    }

    static void fill(JsonNode schema, Object target, JsonNode fields, int version) throws Exception {
        for (JsonNode field : fields) {
            int[] versions = range(field.get("versions").asText());
            boolean tagged = field.has("tag");
            if (version < versions[0] || version > versions[1] || (tagged && sparse)) {
                continue;
            }
            String name = field.get("name").asText();
            for (Method method : target.getClass().getMethods()) {
                if (method.getParameterCount() != 1 || !method.getName().equalsIgnoreCase("set" + name)) {
                    continue;
                }
                boolean nullable = false;
                if (field.has("nullableVersions")) {
                    int[] nullables = range(field.get("nullableVersions").asText());
                    nullable = nullables[0] <= version && version <= nullables[1];
                }
                method.invoke(target, sparse && nullable ? null : value(schema, field, method, version));
            }
        }
    }

    /** A value that follows from the field's name, so that a test can tell fields apart. */
    static Object value(JsonNode schema, JsonNode field, Method setter, int version) throws Exception {
        String name = field.get("name").asText();
        Class<?> type = setter.getParameterTypes()[0];
        if (!Collection.class.isAssignableFrom(type)) {
            Object scalar = scalar(name, type);
            if (field.get("type").asText().equals("uint16")) {
                // Java has no type of its own for it.
                return (int) (short) scalar(name, short.class);
            } else if (scalar != null) {
                return scalar;
            }
            Object struct = type.getConstructor().newInstance();
            fill(schema, struct, field.get("fields"), version);
            return struct;
        }
        @SuppressWarnings("unchecked")
        Collection<Object> items = type == List.class
            ? new ArrayList<>() : (Collection<Object>) type.getConstructor().newInstance();
        Class<?> itemType;
        if (type == List.class) {
            ParameterizedType list = (ParameterizedType) setter.getGenericParameterTypes()[0];
            itemType = (Class<?>) list.getActualTypeArguments()[0];
        } else {
            ParameterizedType parent = (ParameterizedType) type.getGenericSuperclass();
            itemType = (Class<?>) parent.getActualTypeArguments()[0];
        }
        for (int index = 0; index < (sparse ? 1 : 2); index++) {
            Object item = scalar(name, itemType);
            if (item == null) {
                item = itemType.getConstructor().newInstance();
                JsonNode fields = field.get("fields");
                fill(schema, item, fields == null ? common(schema, field) : fields, version);
            }
            items.add(item);
        }
        return items;
    }

    static JsonNode common(JsonNode schema, JsonNode field) {
        String type = field.get("type").asText().replace("[]", "");
        for (JsonNode struct : schema.get("commonStructs")) {
            if (struct.get("name").asText().equals(type)) {
                return struct.get("fields");
            }
        }
        throw new IllegalArgumentException(type);
    }

    static Object scalar(String name, Class<?> type) {
        String text = name.toLowerCase();
        int sum = 0;
        for (byte letter : text.getBytes(StandardCharsets.UTF_8)) {
            sum += letter;
        }
        byte number = (byte) (sum % 97 + 20);
        if (type == String.class) {
            return text;
        } else if (type == boolean.class) {
            return true;
        } else if (type == byte.class || type == Byte.class) {
            return number;
        } else if (type == short.class || type == Short.class) {
            return (short) (256 * number + 1);
        } else if (type == int.class || type == Integer.class) {
            return 65536 * number + 1;
        } else if (type == long.class || type == Long.class) {
            return 4294967296L * number + 1;
        } else if (type == Uuid.class) {
            return new Uuid(number, number);
        } else if (type == byte[].class) {
            return text.getBytes(StandardCharsets.UTF_8);
        } else if (type == ByteBuffer.class) {
            return ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
        } else if (type.getSimpleName().equals("BaseRecords")) {
            return MemoryRecords.readableRecords(ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8)));
        }
        return null;
    }

    static int[] range(String text) {
        if (text.equals("none")) {
            return new int[] {0, -1};
        } else if (text.endsWith("+")) {
            return new int[] {Integer.parseInt(text.replace("+", "")), Integer.MAX_VALUE};
        }
        String[] ends = text.split("-");
        return new int[] {Integer.parseInt(ends[0]), Integer.parseInt(ends[ends.length - 1])};
    }

    static void batches() throws Exception {
        byte[] long40 = "0123456789".repeat(4000).getBytes(StandardCharsets.UTF_8);
        SimpleRecord[] records = {
            new SimpleRecord(1000, bytes("key"), bytes("value")),
            new SimpleRecord(999, null, bytes(""), new Header[] {
                new RecordHeader("b", bytes("1")), new RecordHeader("a", null),
                new RecordHeader("b", bytes("")), new RecordHeader("", bytes("2"))}),
            new SimpleRecord(2500, bytes(""), null),
            new SimpleRecord(2000, (byte[]) null, (byte[]) null),
        };
        SimpleRecord[] large = {new SimpleRecord(7, bytes("large"), long40)};
        try (PrintWriter out = new PrintWriter("batches.txt")) {
            out.println("# What the batch is, bytes. Written by Vectors.java.");
            Compression[] codecs = {Compression.NONE, Compression.gzip().build(),
                Compression.snappy().build(), Compression.lz4().build(), Compression.zstd().build()};
            for (Compression codec : codecs) {
                out.println(codec.type().name + " " + hex(MemoryRecords.withRecords(codec, records)));
                if (codec != Compression.NONE) {
                    out.println(codec.type().name + "-large " + hex(MemoryRecords.withRecords(codec, large)));
                }
            }
            out.println("log-append-time " + hex(MemoryRecords.withRecords((byte) 2, 70,
                Compression.NONE, TimestampType.LOG_APPEND_TIME, records)));
            out.println("idempotent " + hex(MemoryRecords.withIdempotentRecords((byte) 2, 5000000000L,
                Compression.NONE, 77, (short) 3, 42, 9, records)));
            out.println("transactional " + hex(MemoryRecords.withTransactionalRecords((byte) 2, 6L,
                Compression.NONE, 77, (short) 3, 42, 9, records)));
            out.println("commit-marker " + hex(MemoryRecords.withEndTransactionMarker(8L, 1234L, 5, 77,
                (short) 3, new EndTransactionMarker(ControlRecordType.COMMIT, 2))));
        }
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String hex(MemoryRecords records) {
        return hex(records.buffer());
    }

    static String hex(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return HexFormat.of().formatHex(bytes);
    }
}
