//! The binary `fjord-operator`.

use std::{io::IsTerminal as _, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use fjord_operator::{
    FIELD_MANAGER,
    api::crds,
    brokers::Brokers,
    cluster,
    context::{Context, Settings},
    leader::{self, Lease},
    metrics::Metrics,
    topic,
};
use http::Request;
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
    runtime::events::{Recorder, Reporter},
};
use tokio::{net::TcpListener, signal::unix};
use tokio_util::sync::CancellationToken;
use tower::util::MapRequestLayer;
use tracing::info;
use tracing_subscriber::EnvFilter;

/// The Kubernetes operator of the Fjord message broker.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Looks after Cluster and Topic resources.
    Run(Run),
    /// Lets go of all Topics after the operator was uninstalled, so that they can be deleted without it.
    Release(Release),
    /// Writes the definitions of the custom resources.
    Crds {
        /// The directory to write them to.
        #[arg(long, default_value = "crds")]
        dir: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    place: Place,
    /// The image of brokers whose cluster names none: usually the operator's own.
    #[arg(long, env = "FJORD_OPERATOR_IMAGE")]
    image: String,
    /// The domain of services, such as cluster.local. Unless set, names are looked up as in any pod.
    #[arg(long, env = "FJORD_OPERATOR_CLUSTER_DOMAIN")]
    cluster_domain: Option<String>,
    /// How often the configs of a topic are compared with its resource, in seconds.
    #[arg(
        long,
        env = "FJORD_OPERATOR_DRIFT_INTERVAL",
        default_value = "300",
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    drift_interval: u64,
    /// Where metrics and probes are served, HOST:PORT; an empty host is every interface.
    #[arg(long, env = "FJORD_OPERATOR_METRICS_LISTEN", default_value = ":8080")]
    metrics_listen: String,
}

#[derive(Debug, Args)]
struct Release {
    #[command(flatten)]
    place: Place,
}

/// What every process that looks at resources is told.
#[derive(Debug, Args)]
struct Place {
    /// The namespaces whose resources are looked after, separated by commas; all unless set.
    #[arg(long, env = "FJORD_OPERATOR_WATCH_NAMESPACES", value_delimiter = ',')]
    watch_namespaces: Vec<String>,
    /// The lease that the leading one of several operators holds.
    #[arg(
        long,
        env = "FJORD_OPERATOR_LEASE_NAME",
        default_value = "fjord-operator"
    )]
    lease_name: String,
    /// The namespace of the lease, usually the operator's own.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    lease_namespace: String,
    /// Who this is to other operators, usually the pod's name.
    #[arg(long, env = "POD_NAME", default_value = "fjord-operator")]
    identity: String,
    /// The form of log lines.
    #[arg(
        long,
        env = "FJORD_OPERATOR_LOG_FORMAT",
        value_enum,
        default_value = "text"
    )]
    log_format: LogFormat,
    /// The least severe log lines that are written: LEVEL or MODULE=LEVEL, ...
    #[arg(long, env = "FJORD_OPERATOR_LOG_LEVEL", default_value = "info")]
    log_level: String,
}

impl Place {
    fn lease(&self) -> Lease {
        Lease {
            name: self.lease_name.clone(),
            namespace: self.lease_namespace.clone(),
            identity: self.identity.clone(),
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Crds { dir } => write_crds(&dir),
        Command::Run(arguments) => {
            start_logging(&arguments.place)?;
            runtime()?.block_on(run(arguments))
        }
        Command::Release(Release { place }) => {
            start_logging(&place)?;
            runtime()?.block_on(release(place))
        }
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

fn write_crds(directory: &PathBuf) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    for (name, content) in crds::files()? {
        let path = directory.join(name);
        std::fs::write(&path, content).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn start_logging(arguments: &Place) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&arguments.log_level).context("--log-level")?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match arguments.log_format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}

async fn run(arguments: Run) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone())?);
    let metrics = Metrics::default();
    let client = client(&metrics).await.context("no way to Kubernetes")?;
    let listener = TcpListener::bind(listen_address(&arguments.metrics_listen)?).await?;
    info!(address = %listener.local_addr()?, "serving metrics and probes");
    let served = metrics.router();
    tokio::spawn(async move { axum::serve(listener, served).await });

    let reporter = Reporter {
        controller: FIELD_MANAGER.to_owned(),
        instance: Some(arguments.place.identity.clone()),
    };
    let context = Context {
        client: client.clone(),
        brokers: Arc::new(Brokers::default()),
        recorder: Recorder::new(client.clone(), reporter),
        settings: Settings {
            namespaces: arguments.place.watch_namespaces.clone(),
            image: arguments.image,
            domain: arguments.cluster_domain,
        },
        metrics: metrics.clone(),
    };
    let lease = arguments.place.lease();
    let pace = topic::Pace {
        round: Duration::from_secs(arguments.drift_interval),
        ..topic::Pace::default()
    };
    let outcome = leader::lead(client, lease, stop, |stop| control(context, pace, stop)).await;
    metrics.stop();
    outcome
}

/// A way to the API server on which requests are counted.
async fn client(metrics: &Metrics) -> anyhow::Result<Client> {
    let requests = metrics.requests.clone();
    let counts = MapRequestLayer::new(move |request: Request<Body>| {
        requests.inc();
        request
    });
    let config = Config::infer().await?;
    Ok(ClientBuilder::try_from(config)?.with_layer(&counts).build())
}

/// Lets go of all Topics. It takes the lease first, so that no operator that is about to stop holds on to them again,
/// and the lease away at last.
async fn release(place: Place) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone())?);
    let client = client(&Metrics::default())
        .await
        .context("no way to Kubernetes")?;
    let namespaces = &place.watch_namespaces;
    let let_go = async |_| Ok(topic::release::release(&client, namespaces).await?);
    leader::lead(client.clone(), place.lease(), stop, let_go).await?;
    leader::remove(client.clone(), &place.lease()).await
}

/// Runs the controllers until they are told to stop.
async fn control(
    context: Context,
    pace: topic::Pace,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    context.metrics.leader.set(1);
    let topics = topic::run(context.clone(), pace, stop.clone());
    futures::join!(topics, cluster::run(context, stop));
    Ok(())
}

fn listen_address(text: &str) -> anyhow::Result<SocketAddr> {
    let full = match text.strip_prefix(':') {
        Some(port) => format!("[::]:{port}"),
        None => text.to_owned(),
    };
    full.parse()
        .with_context(|| format!("--metrics-listen {text}"))
}

fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = unix::signal(unix::SignalKind::terminate())?;
    let mut interrupt = unix::signal(unix::SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("stopping");
        stop.cancel();
    })
}
