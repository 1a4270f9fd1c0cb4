//! Issuers and subjects, as they are written in claims.

use std::fmt;

use super::text::is_id;

/// Who issues a statement, within the ledger of one origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issuer<'a> {
    /// The service or one of its operators: `https://<origin>`.
    Service {
        /// The origin of the log.
        origin: &'a str,
    },
    /// An organisation: `https://<origin>/o/<organization>`.
    Organization {
        /// The origin of the log.
        origin: &'a str,
        /// The id of the organisation.
        organization: &'a str,
    },
}

impl<'a> Issuer<'a> {
    /// Reads an issuer of the ledger with this origin; `None` if it belongs to another one.
    pub fn parse(text: &'a str, origin: &'a str) -> Option<Self> {
        match text.strip_prefix("https://")?.strip_prefix(origin)? {
            "" => Some(Self::Service { origin }),
            path => {
                let organization = path.strip_prefix("/o/")?;
                is_id(organization).then_some(Self::Organization {
                    origin,
                    organization,
                })
            }
        }
    }
}

impl fmt::Display for Issuer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { origin } => write!(f, "https://{origin}"),
            Self::Organization {
                origin,
                organization,
            } => {
                write!(f, "https://{origin}/o/{organization}")
            }
        }
    }
}

/// What evidence is about: `urn:aimslog:<organization>:<system|aims>:<id>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvidenceSubject<'a> {
    /// The id of the organisation.
    pub organization: &'a str,
    /// What kind of thing the id names.
    pub area: Area,
    /// The opaque id of the thing.
    pub id: &'a str,
}

/// What evidence may be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// One AI system.
    System,
    /// A part of the management system itself.
    Aims,
}

impl<'a> EvidenceSubject<'a> {
    /// Reads the subject; `None` if it has another form.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (organization, rest) = text.strip_prefix("urn:aimslog:")?.split_once(':')?;
        let (area, id) = rest.split_once(':')?;
        let area = match area {
            "system" => Area::System,
            "aims" => Area::Aims,
            _ => return None,
        };
        (is_id(organization) && is_id(id)).then_some(Self {
            organization,
            area,
            id,
        })
    }
}

impl fmt::Display for EvidenceSubject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let area = match self.area {
            Area::System => "system",
            Area::Aims => "aims",
        };
        write!(f, "urn:aimslog:{}:{area}:{}", self.organization, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuer_counts_for_its_own_origin_alone() {
        let origin = "ledger.example/a";
        let service = Issuer::Service { origin };
        let organization = Issuer::Organization {
            origin,
            organization: "acme",
        };
        for issuer in [service, organization] {
            assert_eq!(Issuer::parse(&issuer.to_string(), origin), Some(issuer));
            assert_eq!(Issuer::parse(&issuer.to_string(), "ledger.example/b"), None);
            assert_eq!(
                Issuer::parse(&issuer.to_string(), "ledger.example/ab"),
                None
            );
        }
        for bad in [
            "",
            "https://ledger.example/ab",
            "https://ledger.example/a/o/",
            "http://x",
        ] {
            assert_eq!(Issuer::parse(bad, origin), None, "{bad}");
        }
        assert_eq!(
            Issuer::parse("https://ledger.example/a/o/acme/x", origin),
            None
        );
    }

    #[test]
    fn evidence_subject_reads_back() {
        for area in [Area::System, Area::Aims] {
            let subject = EvidenceSubject {
                organization: "acme",
                area,
                id: "sys-7f3a",
            };
            assert_eq!(EvidenceSubject::parse(&subject.to_string()), Some(subject));
        }
        for bad in [
            "urn:aimslog:acme:system:",
            "urn:aimslog:acme:part:x",
            "urn:aimslog:acme",
            "acme:aims:x",
        ] {
            assert_eq!(EvidenceSubject::parse(bad), None, "{bad}");
        }
        assert_eq!(EvidenceSubject::parse("urn:aimslog:acme:system:x:y"), None);
    }
}
