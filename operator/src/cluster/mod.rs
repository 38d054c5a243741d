//! The cluster controller: makes what a `Cluster` asks for.
