//! How a server is proven to be that server, and what every address has in common.
//!
//! INVARIANT: whoever asks for TLS gets a verified chain and host name: an unverified certificate keeps nobody out.

use std::{fmt, net::IpAddr, path::Path, sync::Arc};

use percent_encoding::percent_decode_str;
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;

/// TLS in one of `versions`, trusting the machine's authorities, or those in the PEM file `root` alone.
pub(super) fn client_config(
    root: Option<&str>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    Ok(match root {
        None | Some("system") => builder
            .with_platform_verifier()
            .map_err(|error| {
                format!("the machine's certificate authorities cannot be loaded ({error}): install them, set SSL_CERT_FILE, or add sslrootcert=FILE")
            })?
            .with_no_client_auth(),
        Some(file) => builder
            .with_root_certificates(authorities(Path::new(file))?)
            .with_no_client_auth(),
    })
}

/// What the server's certificate must be for.
pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(host.to_owned())
        .map_err(|_| format!("`{host}` is not a name a certificate can be for"))
}

fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let unreadable =
        |error: &dyn fmt::Display| format!("sslrootcert `{}`: {error}", file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))? {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        roots.add(certificate).map_err(|error| unreadable(&error))?;
    }
    if roots.is_empty() {
        return Err(unreadable(&"it holds no PEM certificate"));
    }
    Ok(roots)
}

pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Percent-decoding, refusing what is not UTF-8 or holds a NUL, which would end a field of a protocol.
pub(super) fn decoded(text: &str, what: &str) -> Result<String, String> {
    let out: Vec<u8> = percent_decode_str(text).collect();
    if out.contains(&0) {
        return Err(format!("the {what} in its url holds a NUL"));
    }
    String::from_utf8(out).map_err(|_| format!("the {what} in its url is not UTF-8"))
}
