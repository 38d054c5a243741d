//! The wires between nodes, which can be cut in one direction or in both.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fjord_quorum::transport::{Call, GrpcTransport, Transport};
use fjord_quorum::{NodeId, TransportError, proto};

/// Which directions are cut.
#[derive(Default)]
pub struct Network {
    cut: Mutex<BTreeSet<(NodeId, NodeId)>>,
}

impl Network {
    /// Nothing that `from` says reaches `to` any more: neither its requests nor its answers.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        self.cut.lock().expect("no panic").insert((from, to));
    }

    /// All wires are whole again.
    pub fn heal(&self) {
        self.cut.lock().expect("no panic").clear();
    }

    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.cut.lock().expect("no panic").contains(&(from, to))
    }
}

/// One node's end.
pub struct Wire {
    from: NodeId,
    network: Arc<Network>,
    inner: GrpcTransport,
}

impl Wire {
    pub fn new(from: NodeId, network: &Arc<Network>) -> Self {
        Self {
            from,
            network: Arc::clone(network),
            inner: GrpcTransport::default(),
        }
    }
}

impl Transport for Wire {
    fn call<'a>(
        &'a self,
        address: &'a str,
        request: proto::PeerRequest,
        timeout: Duration,
    ) -> Call<'a> {
        let to = request.identity.as_ref().map_or(0, |id| id.to_node);
        Box::pin(async move {
            let lost = async |network: &Network, from, to| {
                if network.is_cut(from, to) {
                    std::future::pending::<()>().await;
                }
            };
            let call = async {
                lost(&self.network, self.from, to).await;
                let answer = self.inner.call(address, request, timeout).await;
                lost(&self.network, to, self.from).await;
                answer
            };
            let answer = tokio::time::timeout(timeout, call).await;
            answer.unwrap_or_else(|_| {
                Err(TransportError::Timeout {
                    address: address.to_owned(),
                    timeout,
                })
            })
        })
    }
}
