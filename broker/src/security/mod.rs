//! Who may do what, and how much of it.
//!
//! Every connection carries a [`Principal`]; every API handler asks the [`Authorizer`] once per
//! resource and the [`Quotas`] once per request before it acts. Today nobody is authenticated,
//! everything is allowed and nothing is throttled, but the questions are asked at the places and
//! with the values that ACLs and quotas need, so that those are added here and nowhere else.

mod authorizer;
mod principal;
mod quotas;

pub use authorizer::{Authorizer, Decision, Operation, Resource, ResourceKind};
pub use principal::Principal;
pub use quotas::{QuotaKind, Quotas};
