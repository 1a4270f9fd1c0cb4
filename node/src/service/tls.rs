//! TLS of the three listeners and of the calls between nodes.
//!
//! rustls with its ring provider, named here once and never taken from the process default. Every
//! file is read and every pair of certificate and key is matched at start, so that a node that
//! starts can also be reached.

use crate::config::TlsFiles;
use crate::identity::{SecretError, check_secret_file};
use crate::service::spiffe::{ClusterTag, PeerNameError, node_dns, node_of};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Why the TLS files of a node cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing, not PEM or holds nothing of what it should.
    #[error("cannot read PEM from {}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The file holds no certificate.
    #[error("{} holds no certificate", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A key that others may read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// rustls does not take certificate, key or authority.
    #[error("{} cannot be used for TLS", path.display())]
    Rustls {
        /// The file.
        path: PathBuf,
        /// Why, for example that key and certificate do not belong together.
        #[source]
        source: rustls::Error,
    },
    /// An authority that no client certificate can be checked with.
    #[error("{} cannot be used as an authority", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
    /// A certificate outside its time.
    #[error("the certificate {} is valid from {from} to {until}, now is {now} (Unix seconds)", path.display())]
    OutOfTime {
        /// The file.
        path: PathBuf,
        /// First second of validity.
        from: i64,
        /// Last second of validity.
        until: i64,
        /// The clock of this node.
        now: u64,
    },
    /// The peer certificate names another node or cluster.
    #[error("the certificate {} is not this node's", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: PeerNameError,
    },
    /// The peer certificate names another node of this cluster.
    #[error("the certificate {} belongs to node {found}, this is node {expected}", path.display())]
    OtherNode {
        /// The file.
        path: PathBuf,
        /// The node of the certificate.
        found: u64,
        /// The node of the configuration.
        expected: u64,
    },
}

/// Who this node is, as its certificates must say.
#[derive(Debug, Clone, Copy)]
pub struct TlsIdentity {
    /// The cluster.
    pub cluster: ClusterTag,
    /// The node.
    pub node_id: u64,
    /// The clock of this node.
    pub now: u64,
}

/// Everything the listeners and the calls to peers need, checked.
#[derive(Debug)]
pub struct NodeTls {
    /// Client listener: the server shows a certificate, the caller none.
    pub client: Arc<ServerConfig>,
    /// Peer listener: TLS 1.3, both sides show one of the peer authority.
    pub peer: Arc<ServerConfig>,
    /// Admin listener: the caller shows one of the admin authority.
    pub admin: Arc<ServerConfig>,
    /// What a call to a peer shows and trusts.
    pub peer_call: Arc<ClientConfig>,
    /// Last second of validity of the certificate that ends first.
    pub valid_until: i64,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

struct KeyPair {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl KeyPair {
    fn read(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        check_secret_file(key)?;
        Ok(Self {
            chain: certificates(cert)?,
            key: PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Pem {
                path: key.to_owned(),
                source,
            })?,
        })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = |source| TlsError::Pem {
        path: path.to_owned(),
        source,
    };
    let found = CertificateDer::pem_file_iter(path)
        .map_err(pem)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(pem)?;
    if found.is_empty() {
        return Err(TlsError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(found)
}

fn authority(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|source| TlsError::Rustls {
            path: path.to_owned(),
            source,
        })?;
    }
    Ok(Arc::new(roots))
}

/// Validity in Unix seconds: first and last second.
fn validity(path: &Path) -> Result<(i64, i64), TlsError> {
    let chain = certificates(path)?;
    let first = chain.first().ok_or_else(|| TlsError::Empty {
        path: path.to_owned(),
    })?;
    let (_, certificate) =
        X509Certificate::from_der(first).map_err(|_malformed| TlsError::Name {
            path: path.to_owned(),
            source: PeerNameError::Malformed,
        })?;
    let validity = certificate.validity();
    Ok((
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    ))
}

fn check_time(path: &Path, now: u64) -> Result<i64, TlsError> {
    let (from, until) = validity(path)?;
    let seconds = i64::try_from(now).unwrap_or(i64::MAX);
    if seconds < from || until < seconds {
        return Err(TlsError::OutOfTime {
            path: path.to_owned(),
            from,
            until,
            now,
        });
    }
    Ok(until)
}

fn check_name(path: &Path, identity: TlsIdentity) -> Result<(), TlsError> {
    let chain = certificates(path)?;
    let first = chain.first().ok_or_else(|| TlsError::Empty {
        path: path.to_owned(),
    })?;
    let found = node_of(first, identity.cluster).map_err(|source| TlsError::Name {
        path: path.to_owned(),
        source,
    })?;
    if found != identity.node_id {
        let expected = identity.node_id;
        return Err(TlsError::OtherNode {
            path: path.to_owned(),
            found,
            expected,
        });
    }
    Ok(())
}

/// Peers would refuse a certificate of another authority than the one that this node trusts too.
fn check_chain(files: &TlsFiles, identity: TlsIdentity) -> Result<(), TlsError> {
    let foreign = |source| TlsError::Rustls {
        path: files.peer_cert.clone(),
        source,
    };
    let chain = certificates(&files.peer_cert)?;
    let Some((own, between)) = chain.split_first() else {
        return Err(TlsError::Empty {
            path: files.peer_cert.clone(),
        });
    };
    let verifier =
        WebPkiServerVerifier::builder_with_provider(authority(&files.peer_ca)?, provider())
            .build()
            .map_err(|source| TlsError::Authority {
                path: files.peer_ca.clone(),
                source,
            })?;
    let name = ServerName::try_from(node_dns(identity.cluster, identity.node_id))
        .map_err(|_not_a_name| foreign(rustls::Error::General("no name".to_owned())))?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(identity.now));
    verifier
        .verify_server_cert(own, between, &name, &[], now)
        .map(drop)
        .map_err(foreign)
}

/// Versions that the client and admin listener speak; peers speak 1.3 only.
static CLIENT_VERSIONS: &[&rustls::SupportedProtocolVersion] =
    &[&rustls::version::TLS13, &rustls::version::TLS12];
static PEER_VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

fn server(
    versions: &[&'static rustls::SupportedProtocolVersion],
    callers: Option<&Path>,
    cert: &Path,
    key: &Path,
) -> Result<Arc<ServerConfig>, TlsError> {
    let rustls_error = |source| TlsError::Rustls {
        path: cert.to_owned(),
        source,
    };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(rustls_error)?;
    let builder = match callers {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(authority(path)?, provider())
                    .build()
                    .map_err(|source| TlsError::Authority {
                        path: path.to_owned(),
                        source,
                    })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let pair = KeyPair::read(cert, key)?;
    let mut config = builder
        .with_single_cert(pair.chain, pair.key)
        .map_err(rustls_error)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // Resumed sessions would outlive a certificate that was taken back.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// What a node shows and trusts when it calls another one.
fn peer_call(files: &TlsFiles) -> Result<Arc<ClientConfig>, TlsError> {
    let rustls_error = |source| TlsError::Rustls {
        path: files.peer_cert.clone(),
        source,
    };
    let pair = KeyPair::read(&files.peer_cert, &files.peer_key)?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(PEER_VERSIONS)
        .map_err(rustls_error)?
        .with_root_certificates(authority(&files.peer_ca)?)
        .with_client_auth_cert(pair.chain, pair.key)
        .map_err(rustls_error)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

impl NodeTls {
    /// Reads all files and checks time, names, authorities and that keys fit certificates.
    pub fn load(files: &TlsFiles, identity: TlsIdentity) -> Result<Self, TlsError> {
        let peer_until = check_time(&files.peer_cert, identity.now)?;
        let server_until = check_time(&files.server_cert, identity.now)?;
        check_time(&files.peer_ca, identity.now)?;
        check_time(&files.admin_ca, identity.now)?;
        check_name(&files.peer_cert, identity)?;
        check_chain(files, identity)?;
        let (cert, key) = (&files.server_cert, &files.server_key);
        let (peer_cert, peer_key) = (&files.peer_cert, &files.peer_key);
        let peer = server(PEER_VERSIONS, Some(&files.peer_ca), peer_cert, peer_key)?;
        Ok(Self {
            client: server(CLIENT_VERSIONS, None, cert, key)?,
            peer,
            admin: server(CLIENT_VERSIONS, Some(&files.admin_ca), cert, key)?,
            peer_call: peer_call(files)?,
            valid_until: peer_until.min(server_until),
        })
    }
}
