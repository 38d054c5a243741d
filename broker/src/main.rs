//! Arguments -> configuration -> run.

use std::{process::ExitCode, time::Duration};

use fjord_broker::{
    config::{Args, BrokerConfig},
    net::descriptors,
    observability::logging,
    server::{self, Addresses},
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// How long a thread for disk reads stays when there is nothing to read. The memory that it has read records into
/// and that others have freed goes back to the system when it ends.
const IDLE_THREAD: Duration = Duration::from_secs(2);

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code for a configuration that cannot be used.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    let config = match BrokerConfig::load(&args, std::env::vars_os()) {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if args.check_config {
        print!("{}", config.to_yaml());
        return ExitCode::SUCCESS;
    }
    let observability = &config.observability;
    if let Err(failed) = logging::init(observability.log_format, &observability.log_level) {
        eprintln!("{failed}");
        return ExitCode::from(EXIT_USAGE);
    }
    descriptors::raise_limit();
    use_small_pages();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.net.network_threads)
        .thread_name("fjord-worker")
        .thread_keep_alive(IDLE_THREAD)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(failed) => {
            error!(%failed, "cannot start the runtime");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        tokio::spawn(cancel_on_signal(shutdown.clone()));
        server::run(config, shutdown, announce).await
    });
    runtime.shutdown_timeout(server::RUNTIME_SHUTDOWN);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            error!(%failed, "the broker ended");
            ExitCode::FAILURE
        }
    }
}

/// Has the kernel not back memory with huge pages. The allocator asks for them; buffers come and go, and with pages
/// of 2 MiB twice as much memory stays resident, for no measurable gain.
fn use_small_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay enabled");
    }
}

/// Asks for a stop in order at the first SIGTERM or SIGINT.
async fn cancel_on_signal(shutdown: CancellationToken) {
    let (terminate, interrupt) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    match (terminate, interrupt) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => info!(signal = "SIGTERM", "asked to stop"),
                _ = interrupt.recv() => info!(signal = "SIGINT", "asked to stop"),
            }
            shutdown.cancel();
        }
        (Err(failed), _) | (_, Err(failed)) => {
            error!(%failed, "signals cannot be received; the broker ends when it is killed");
        }
    }
}

fn announce(addresses: &Addresses) {
    let text = |address: &Option<std::net::SocketAddr>| match address {
        Some(address) => address.to_string(),
        None => "off".to_owned(),
    };
    let kafka: Vec<String> = addresses.kafka.iter().map(ToString::to_string).collect();
    info!(
        kafka = kafka.join(","),
        grpc = text(&addresses.grpc),
        http = text(&addresses.http),
        version = env!("CARGO_PKG_VERSION"),
        "ready"
    );
}
