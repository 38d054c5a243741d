//! Principals, the authorizer and quotas that every API handler asks before it acts.
