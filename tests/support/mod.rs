//! What tests share.

pub(crate) mod cosmos;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod oidc;
pub(crate) mod openapi;
pub(crate) mod people;
pub(crate) mod postgres;
pub(crate) mod serving;
