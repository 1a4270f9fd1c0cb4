//! The three private authorities of a cluster and the certificates under them.

use crate::service::spiffe::{ClusterTag, node_dns, node_uri};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

/// Life of an authority.
const AUTHORITY_DAYS: i64 = 3_650;
/// Life of a certificate; nodes warn before it ends.
const CERTIFICATE_DAYS: i64 = 1_095;
/// Certificates begin a little early, so that a clock that is behind does not refuse them.
const BACKDATE: Duration = Duration::hours(1);

/// Why a certificate cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A name or key that X.509 cannot hold.
    #[error("cannot make the certificate for {name}")]
    Certificate {
        /// For whom.
        name: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// The clock shows a time that X.509 cannot hold.
    #[error("the clock shows a time that a certificate cannot hold")]
    Clock(#[from] time::error::ComponentRange),
}

/// A certificate and its key, both PEM. The key is secret.
pub(super) struct PemPair {
    /// The certificate.
    pub(super) cert: String,
    /// The private key.
    pub(super) key: zeroize::Zeroizing<String>,
}

impl std::fmt::Debug for PemPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PemPair")
            .field("cert", &self.cert)
            .finish_non_exhaustive()
    }
}

/// An authority that signs certificates of one purpose.
pub(super) struct Authority {
    /// Its own certificate and key.
    pub(super) pem: PemPair,
    issuer: Issuer<'static, KeyPair>,
    now: OffsetDateTime,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("pem", &self.pem)
            .finish_non_exhaustive()
    }
}

/// For whom a certificate is and what it may be used for.
struct Subject<'a> {
    name: String,
    names: Vec<&'a str>,
    uri: Option<String>,
    usages: &'a [ExtendedKeyUsagePurpose],
}

impl Authority {
    /// A fresh authority, named so that people can tell it from the others.
    pub(super) fn new(name: &str, unix_seconds: u64) -> Result<Self, PkiError> {
        let error = |source| PkiError::Certificate {
            name: name.to_owned(),
            source,
        };
        let now = moment(unix_seconds)?;
        let mut params = authority_params(name).map_err(error)?;
        params.not_before = now - BACKDATE;
        params.not_after = now + Duration::days(AUTHORITY_DAYS);
        let key = KeyPair::generate().map_err(error)?;
        let cert = params.self_signed(&key).map_err(error)?.pem();
        let pem = PemPair {
            cert,
            key: key.serialize_pem().into(),
        };
        Ok(Self {
            pem,
            issuer: Issuer::new(params, key),
            now,
        })
    }

    /// The authority of this name from the PEM of its certificate and its key.
    pub(super) fn restore(
        name: &str,
        (cert, key): (&[u8], &[u8]),
        unix_seconds: u64,
    ) -> Result<Self, PkiError> {
        let error = |source| PkiError::Certificate {
            name: name.to_owned(),
            source,
        };
        let pem = PemPair {
            cert: String::from_utf8_lossy(cert).into_owned(),
            key: String::from_utf8_lossy(key).into_owned().into(),
        };
        let pair = KeyPair::from_pem(&pem.key).map_err(error)?;
        Ok(Self {
            issuer: Issuer::new(authority_params(name).map_err(error)?, pair),
            pem,
            now: moment(unix_seconds)?,
        })
    }

    /// A node's certificate for both ends of peer connections.
    pub(super) fn peer(
        &self,
        cluster: ClusterTag,
        id: u64,
        host: &str,
    ) -> Result<PemPair, PkiError> {
        let dns = node_dns(cluster, id);
        self.issue(&Subject {
            name: format!("aimslog node {id}"),
            names: vec![dns.as_str(), host],
            uri: Some(node_uri(cluster, id)),
            usages: &[
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
        })
    }

    /// A node's certificate for clients and operators. A loopback host gets all loopback names.
    pub(super) fn server(&self, id: u64, host: &str) -> Result<PemPair, PkiError> {
        let mut names = vec![host];
        if is_loopback(host) {
            names.extend(
                ["localhost", "127.0.0.1", "::1"]
                    .iter()
                    .filter(|name| **name != host),
            );
        }
        self.issue(&Subject {
            name: format!("aimslog node {id}"),
            names,
            uri: None,
            usages: &[ExtendedKeyUsagePurpose::ServerAuth],
        })
    }

    /// An operator's certificate for the admin listeners.
    pub(super) fn operator(&self, cluster: ClusterTag, number: usize) -> Result<PemPair, PkiError> {
        self.issue(&Subject {
            name: format!("aimslog operator {number}"),
            names: Vec::new(),
            uri: Some(format!("spiffe://aimslog/{cluster}/operator/{number}")),
            usages: &[ExtendedKeyUsagePurpose::ClientAuth],
        })
    }

    fn issue(&self, subject: &Subject<'_>) -> Result<PemPair, PkiError> {
        let error = |source| PkiError::Certificate {
            name: subject.name.clone(),
            source,
        };
        let names: Vec<String> = subject
            .names
            .iter()
            .map(|name| (*name).to_owned())
            .collect();
        let mut params = CertificateParams::new(names).map_err(error)?;
        if let Some(uri) = &subject.uri {
            let uri = uri.as_str().try_into().map_err(error)?;
            params.subject_alt_names.push(SanType::URI(uri));
        }
        params
            .distinguished_name
            .push(DnType::CommonName, subject.name.as_str());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = subject.usages.to_vec();
        params.use_authority_key_identifier_extension = true;
        params.not_before = self.now - BACKDATE;
        params.not_after = self.now + Duration::days(CERTIFICATE_DAYS);
        let key = KeyPair::generate().map_err(error)?;
        let cert = params.signed_by(&key, &self.issuer).map_err(error)?.pem();
        Ok(PemPair {
            cert,
            key: key.serialize_pem().into(),
        })
    }
}

fn moment(unix_seconds: u64) -> Result<OffsetDateTime, PkiError> {
    let seconds = i64::try_from(unix_seconds).unwrap_or(i64::MAX);
    Ok(OffsetDateTime::from_unix_timestamp(seconds)?)
}

/// What an authority is, except for how long: a certificate that it signs names it by this.
fn authority_params(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// Whether a host is this machine only.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
