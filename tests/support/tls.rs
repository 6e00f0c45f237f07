//! TLS in front of a plain server on this machine, as an ingress would be: some clients send a token over nothing else.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, OnceLock},
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What the certificate says.
const CONFIG: &str = "\
[req]
distinguished_name = name
x509_extensions = server
prompt = no
[name]
CN = localhost
[server]
basicConstraints = critical,CA:FALSE
subjectAltName = IP:127.0.0.1,DNS:localhost
";

/// The front. It ends with the test process.
pub(crate) struct TlsFront {
    pub(crate) port: u16,
    behind: Arc<OnceLock<u16>>,
    /// The PEM file of the authority that proves it, for `127.0.0.1` and `localhost`.
    pub(crate) authority: PathBuf,
}

impl TlsFront {
    /// In front of this port; its certificate is kept in `folder`.
    pub(crate) fn of(port: u16, folder: &Path) -> Self {
        let front = Self::open(folder);
        front.lead_to(port);
        front
    }

    /// In front of a port that is not known yet.
    pub(crate) fn open(folder: &Path) -> Self {
        let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
        let config = folder.join("tls.conf");
        std::fs::write(&config, CONFIG).unwrap();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
            .args(["-pkeyopt", "ec_paramgen_curve:prime256v1", "-config"])
            .arg(&config)
            .arg("-out")
            .arg(&certificate)
            .arg("-keyout")
            .arg(&key)
            .stderr(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "openssl made no certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_file(&certificate).unwrap()],
                PrivateKeyDer::from_pem_file(&key).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let own = listener.local_addr().unwrap().port();
        let behind = Arc::new(OnceLock::new());
        let leads_to = Arc::clone(&behind);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let acceptor = acceptor.clone();
                    let port = leads_to.get().copied();
                    tokio::spawn(async move {
                        let mut outside = acceptor.accept(stream).await.ok()?;
                        let mut inside = TcpStream::connect(("127.0.0.1", port?)).await.ok()?;
                        tokio::io::copy_bidirectional(&mut outside, &mut inside)
                            .await
                            .ok()
                    });
                }
            });
        });
        Self {
            port: own,
            behind,
            authority: certificate,
        }
    }

    /// The port it is in front of, told once.
    pub(crate) fn lead_to(&self, port: u16) {
        self.behind.set(port).unwrap();
    }
}
