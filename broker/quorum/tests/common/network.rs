//! The wires between nodes, which can be cut in one direction or in both.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fjord_quorum::transport::{Call, GrpcTransport, Transport};
use fjord_quorum::{
    NodeId, TransportError,
    proto::{self, append_response::Outcome, peer_request::Body, peer_response::Body as Answer},
};

/// Which directions are cut.
#[derive(Default)]
pub struct Network {
    cut: Mutex<BTreeSet<(NodeId, NodeId)>>,
    stalled: Mutex<BTreeSet<NodeId>>,
}

impl Network {
    /// Nothing that `from` says reaches `to` any more: neither its requests nor its answers.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        self.cut.lock().expect("no panic").insert((from, to));
    }

    /// A node's word that it has taken entries is lost: it is given the first ones of the log, and no others.
    pub fn stall(&self, node: NodeId) {
        self.stalled.lock().expect("no panic").insert(node);
    }

    /// All wires are whole again.
    pub fn heal(&self) {
        self.cut.lock().expect("no panic").clear();
        self.stalled.lock().expect("no panic").clear();
    }

    fn is_stalled(&self, node: NodeId) -> bool {
        self.stalled.lock().expect("no panic").contains(&node)
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
        let has_entries =
            matches!(&request.body, Some(Body::Append(append)) if !append.entries.is_empty());
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
                if has_entries && took(&answer) && self.network.is_stalled(to) {
                    std::future::pending::<()>().await;
                }
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

/// Whether entries were taken.
fn took(answer: &Result<proto::PeerResponse, TransportError>) -> bool {
    let body = answer.as_ref().ok().and_then(|answer| answer.body.as_ref());
    matches!(body, Some(Answer::Append(append)) if append.outcome() == Outcome::Success)
}
