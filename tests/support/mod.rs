//! What tests share.

pub(crate) mod collector;
pub(crate) mod cosmos;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod identity;
pub(crate) mod key_vault;
pub(crate) mod mariadb;
pub(crate) mod oidc;
pub(crate) mod openapi;
pub(crate) mod people;
pub(crate) mod postgres;
pub(crate) mod rabbitmq;
pub(crate) mod service_bus;
pub(crate) mod serving;
pub(crate) mod sshd;
pub(crate) mod tds;
pub(crate) mod tls;
pub(crate) mod upstream;
