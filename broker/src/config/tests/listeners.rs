//! Listeners and the addresses that clients are told.

use std::net::SocketAddr;

use super::{config, resolve};
use crate::config::{AdvertisedListener, ListenAddress};

#[test]
fn advertised_addresses() {
    let advertised = |settings: &[(&str, &str)], local: &str| {
        let listener = config(settings).net.listeners.swap_remove(0);
        let local: SocketAddr = local.parse().expect("an address");
        listener.advertised.resolve(local, 4000)
    };
    let check = |settings: &[(&str, &str)], local: &str, host: &str, port: u16| {
        assert_eq!(
            advertised(settings, local),
            (host.to_owned(), port),
            "{settings:?}"
        );
    };
    check(&[], "127.0.0.1:9092", "127.0.0.1", 9092);
    check(&[], "[::ffff:10.1.2.3]:9092", "10.1.2.3", 9092);
    check(&[], "[::1]:9092", "::1", 9092);
    check(
        &[("listeners", "PLAINTEXT://0.0.0.0:0")],
        "10.0.0.7:4000",
        "10.0.0.7",
        4000,
    );
    check(
        &[("listeners", "PLAINTEXT://localhost:0")],
        "127.0.0.1:4000",
        "localhost",
        4000,
    );
    let fixed = [
        ("listeners", "PLAINTEXT://:0"),
        ("advertised.listeners", "PLAINTEXT://b:0"),
    ];
    check(&fixed, "127.0.0.1:4000", "b", 4000);
}

#[test]
fn several_listeners_have_their_own_names() {
    let config = config(&[
        ("listeners", "INTERNAL://:9092, EXTERNAL://10.0.0.1:9093"),
        ("advertised.listeners", "EXTERNAL://broker.example:443"),
        (
            "listener.security.protocol.map",
            "INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT",
        ),
    ]);
    let listeners: Vec<(&str, String)> = config
        .net
        .listeners
        .iter()
        .map(|listener| (listener.name.as_str(), listener.bind.to_string()))
        .collect();
    let expected = [
        ("EXTERNAL", "10.0.0.1:9093".to_owned()),
        ("INTERNAL", ":9092".to_owned()),
    ];
    assert_eq!(listeners, expected);
    assert_eq!(
        config.net.listeners[1].advertised,
        AdvertisedListener::AsConnected
    );
}

#[test]
fn wrong_listeners_are_refused() {
    let refused = [
        ("listeners", "", "needs at least one NAME://HOST:PORT"),
        (
            "listeners",
            "localhost:9092",
            "needs NAME://HOST:PORT, not 'localhost:9092'",
        ),
        (
            "listeners",
            "PLAINTEXT://localhost",
            "needs HOST:PORT, not 'localhost'",
        ),
        (
            "listeners",
            "PLAINTEXT://a:65536",
            "needs a port from 0 to 65535, not '65536'",
        ),
        (
            "listeners",
            "PLAINTEXT://::1:9092",
            "needs the IPv6 address in brackets: [::1]:9092",
        ),
        (
            "listeners",
            "PLAINTEXT://[::1:9092",
            "has '[' without ']' in '[::1'",
        ),
        ("listeners", "A://:1,A://:2", "has the listener A twice"),
        ("listeners", "A://:1,B://:1", "has the address :1 twice"),
        (
            "advertised.listeners",
            "PLAINTEXT://0.0.0.0:1",
            "needs a host that clients can reach",
        ),
        (
            "advertised.listeners",
            "PLAINTEXT://:1",
            "needs a host that clients can reach",
        ),
        (
            "advertised.listeners",
            "OTHER://h:1",
            "has OTHER, which listeners lacks",
        ),
        (
            "listener.security.protocol.map",
            "A:B",
            "needs NAME:PROTOCOL with one of",
        ),
        (
            "listeners",
            "SSL://:9093",
            "cannot use the protocol SSL of SSL yet",
        ),
    ];
    for (name, value, expected) in refused {
        let error = resolve(&[(name, value)]).expect_err(value).to_string();
        assert!(error.contains(&format!("{name} {expected}")), "{error}");
    }
    let error = resolve(&[("listeners", "OTHER://:1")])
        .expect_err("an unmapped name")
        .to_string();
    assert!(
        error.contains("listener.security.protocol.map lacks the listener OTHER"),
        "{error}"
    );
}

#[test]
fn every_interface_is_both_kinds_of_address() {
    let check = |text: &str, expected: &[&str]| {
        let address = ListenAddress::parse(text).expect(text);
        assert_eq!(address.bind_addresses(), expected);
    };
    check(":9092", &["[::]:9092", "0.0.0.0:9092"]);
    check("0.0.0.0:0", &["0.0.0.0:0"]);
    check("[::1]:1", &["[::1]:1"]);
    check("localhost:1", &["localhost:1"]);
}
