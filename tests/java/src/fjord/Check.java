package fjord;

import java.time.Duration;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/** Assertions that say what was expected, and waiting for a condition instead of for a time. */
final class Check {
    /** How long a condition may take; generous, since two cores may be running much else. */
    static final Duration PATIENCE = Duration.ofSeconds(60);

    private static final Duration POLL_INTERVAL = Duration.ofMillis(50);

    private Check() {}

    static void that(boolean holds, String claim, Object... details) {
        if (!holds) {
            throw new AssertionError(String.format(claim, details));
        }
    }

    static void equal(Object expected, Object actual, String what, Object... details) {
        if (!Objects.equals(expected, actual)) {
            String subject = String.format(what, details);
            throw new AssertionError(subject + ": expected " + expected + ", found " + actual);
        }
    }

    /** The result of a future that must succeed. */
    static <T> T get(Future<T> future) throws Exception {
        return future.get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
    }

    /** Checks that a future fails with exactly this class of error, and returns the error. */
    static <E extends Throwable> E fails(Class<E> error, Future<?> future) throws Exception {
        Object result;
        try {
            result = get(future);
        } catch (ExecutionException failure) {
            Throwable cause = failure.getCause();
            if (cause.getClass() != error) {
                throw new AssertionError("expected " + error.getSimpleName() + ", found another error", cause);
            }
            return error.cast(cause);
        }
        throw new AssertionError("expected " + error.getSimpleName() + ", found the result " + result);
    }

    /** Waits until {@code actual} yields {@code expected}; fails with the last value seen. */
    static void eventually(Object expected, Callable<?> actual, String what, Object... details) throws Exception {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        Object last = actual.call();
        while (!Objects.equals(expected, last)) {
            if (System.nanoTime() > deadline) {
                equal(expected, last, what, details);
            }
            Thread.sleep(POLL_INTERVAL.toMillis());
            last = actual.call();
        }
    }
}
