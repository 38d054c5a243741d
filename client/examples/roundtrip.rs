//! Writes ten records and reads them back: `cargo run -p fjord-client --example roundtrip -- localhost:9192`.

use fjord_client::{
    Client, ClientOptions, FetchOptions, Guarantee, ProducerRecord, Result, Start,
    proto::CreateTopicRequest,
};

const TOPIC: &str = "roundtrip";

#[tokio::main]
async fn main() -> Result<()> {
    let addresses = std::env::args().nth(1);
    let addresses = addresses.as_deref().unwrap_or("localhost:9192");
    let client = Client::connect(addresses, ClientOptions::default()).await?;
    let request = CreateTopicRequest {
        topic: TOPIC.to_owned(),
        partitions: 1,
        ..CreateTopicRequest::default()
    };
    match client.create_topic(request).await {
        Err(error) if error.reason() != "TOPIC_ALREADY_EXISTS" => return Err(error),
        _ => {}
    }

    let producer = client
        .producer(Guarantee::EffectivelyOnce.options())
        .await?;
    for number in 0..10 {
        let record = ProducerRecord::new(TOPIC)
            .key(format!("key {number}"))
            .value(format!("value {number}"));
        // It is known by `close` below whether it was delivered.
        drop(producer.send(record).await?);
    }
    producer.close().await?;

    let options = FetchOptions {
        until_end: true,
        ..FetchOptions::default()
    };
    let mut fetcher = client.fetcher([(TOPIC.to_owned(), 0, Start::Earliest)], options);
    while let Some(batch) = fetcher.next_batch().await? {
        for record in batch.records {
            let text = |bytes: Option<bytes::Bytes>| {
                String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
            };
            println!(
                "{}: {} = {}",
                record.offset,
                text(record.key),
                text(record.value)
            );
        }
    }
    Ok(())
}
