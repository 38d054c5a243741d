package fjord;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Runs the Java client's cases inside one JVM, so that clients can live across a restart of the broker.
 *
 * <p>Each line on standard input is {@code {"case": NAME, "args": {...}}}; each is answered with one line,
 * {@code {"ok": true, "result": ...}} or {@code {"ok": false, "error": STACK TRACE}}. Everything else,
 * logging included, goes to standard error. Usage: {@code fjord.Driver BOOTSTRAP}.
 */
public final class Driver {
    /** One case: reads its arguments, checks what it claims, and returns facts for the caller. */
    @FunctionalInterface
    public interface Case {
        Object run(JsonNode args) throws Exception;
    }

    private Driver() {}

    private static Map<String, Case> cases(Cluster cluster) {
        Map<String, Case> cases = new LinkedHashMap<>();
        new RoundTrip(cluster).register(cases);
        new Producing(cluster).register(cases);
        new GroupOfThree(cluster).register(cases);
        new StaticMembers(cluster).register(cases);
        new AdminTopics(cluster).register(cases);
        new AdminConfigs(cluster).register(cases);
        new AdminOffsets(cluster).register(cases);
        new AdminGroups(cluster).register(cases);
        new TopicIds(cluster).register(cases);
        new WordCount(cluster).register(cases);
        return cases;
    }

    public static void main(String[] args) throws Exception {
        PrintStream replies = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
        System.setOut(System.err);
        Map<String, Case> cases = cases(new Cluster(args[0]));
        ObjectMapper json = new ObjectMapper();
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            JsonNode request = json.readTree(line);
            ObjectNode reply = json.createObjectNode();
            try {
                Case found = cases.get(request.get("case").asText());
                Check.that(found != null, "no such case: %s", request.get("case"));
                Object result = found.run(request.path("args"));
                reply.put("ok", true).set("result", json.valueToTree(result));
            } catch (Throwable failure) {
                StringWriter trace = new StringWriter();
                failure.printStackTrace(new PrintWriter(trace));
                reply.put("ok", false).put("error", trace.toString());
            }
            replies.println(json.writeValueAsString(reply));
        }
        // Clients that a case left open have threads of their own; the end of input ends them all.
        Runtime.getRuntime().halt(0);
    }
}
