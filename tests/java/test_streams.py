"""A Kafka Streams word count on the broker: exact while nothing breaks, nothing lost when the broker restarts."""

import pytest


def test_word_count_is_exact(driver):
    """Counts, internal topics and their purge; then the store comes back from the changelog alone."""
    driver.run("word_count.start", name="words")
    driver.run("word_count.feed", lines=2000)
    driver.run("word_count.exact")
    driver.run("word_count.internal_topics")
    driver.run("word_count.restart_without_state")
    driver.run("word_count.feed", lines=500)
    driver.run("word_count.exact")
    driver.run("word_count.stop")


@pytest.mark.parametrize("crash", [False, True], ids=["restart", "kill"])
def test_word_count_loses_nothing(driver, broker, crash):
    """The broker goes away and comes back while lines are on their way through."""
    driver.run("word_count.start", name=f"words-{'kill' if crash else 'restart'}")
    driver.run("word_count.feed", lines=3000)
    if crash:
        broker.kill()
        broker.start()
    else:
        broker.restart()
    driver.run("word_count.feed", lines=1000)
    driver.run("word_count.at_least")
    driver.run("word_count.stop")
