//! What it takes to reach a node, checked when it is said: addresses, and the PEM files of TLS.

use std::path::Path;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::context::read;
use crate::exit::UserError;

/// The first byte of every certificate and key in DER: a sequence.
const DER_SEQUENCE: u8 = 0x30;

/// Refuses what is no `host:port`. `field` is how the user names it.
pub(crate) fn check_address(field: &str, address: &str) -> Result<()> {
    let good = address.rsplit_once(':').is_some_and(|(host, port)| {
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        let named = !host.is_empty() && host.chars().all(plain);
        (bracketed || named) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if good {
        return Ok(());
    }
    Err(UserError::usage(format!(
        "{field}: {address:?} must be host:port, without a scheme, with a port of 1 to 65535 (an IPv6 \
         address in brackets), such as n1.example.com:7002; the operator's nodes.txt has them"
    )))
}

/// Reads a file of certificates.
pub(crate) fn certificates(field: &str, path: &Path) -> Result<Vec<u8>> {
    pem(field, path, "CERTIFICATE")
}

/// Reads the file of a certificate's key, in whatever form.
pub(crate) fn private_key(field: &str, path: &Path) -> Result<Vec<u8>> {
    pem(field, path, "PRIVATE KEY")
}

/// Reads a PEM file (RFC 7468) and refuses one without a block whose label ends with `label`, or with
/// one that holds no DER.
fn pem(field: &str, path: &Path, label: &str) -> Result<Vec<u8>> {
    let bytes = read(path)?;
    if holds(&String::from_utf8_lossy(&bytes), label) {
        return Ok(bytes);
    }
    Err(UserError::usage(format!(
        "{field}: {} must be a PEM file with a block \"-----BEGIN {label}-----\"",
        path.display()
    )))
}

fn holds(text: &str, label: &str) -> bool {
    let end = format!("{label}-----");
    let mut blocks = text.split("-----BEGIN ").skip(1).peekable();
    let labelled = |block: &str| {
        let head = block.lines().next().unwrap_or_default();
        head.trim_end().ends_with(&end)
    };
    if !blocks.clone().any(labelled) {
        return false;
    }
    blocks.all(|block| {
        let body = block.lines().skip(1);
        let body = body.take_while(|line| !line.starts_with("-----END "));
        let encoded: String = body.map(str::trim).collect();
        let der = STANDARD.decode(encoded).unwrap_or_default();
        block.contains("-----END ") && (!labelled(block) || der.first() == Some(&DER_SEQUENCE))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in ["n1.example.com:7002", "10.0.0.1:1", "[::1]:65535"] {
            check_address("--endpoint", good).unwrap();
        }
        for bad in [
            "",
            "n1.example.com",
            "n1:",
            ":7002",
            "n1:0",
            "n1:65536",
            "https://n1:7002",
            "::1:7002",
            "n1 :7002",
            "n1:7002/x",
        ] {
            let refused = check_address("--endpoint", bad).unwrap_err().to_string();
            assert!(refused.starts_with("--endpoint: "), "{bad}: {refused}");
            assert!(refused.contains("host:port"), "{bad}: {refused}");
        }
    }

    #[test]
    fn a_file_without_its_block_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let block = |label: &str, body: &str| {
            format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
        };
        let certificate = block("CERTIFICATE", "MAAA");
        let key = block("EC PRIVATE KEY", "MAAA");
        for (text, is_certificate, is_key) in [
            (certificate.clone(), true, false),
            (key.clone(), false, true),
            (format!("words\r\n{certificate}{key}"), true, true),
            (block("CERTIFICATE", "no base64"), false, false),
            (block("CERTIFICATE", "AAAA"), false, false),
            (
                "-----BEGIN CERTIFICATE-----\nMAAA\n".to_owned(),
                false,
                false,
            ),
            ("log aimslog\n".to_owned(), false, false),
            (String::new(), false, false),
        ] {
            fs::write(&path, &text).unwrap();
            assert_eq!(
                certificates("--ca", &path).is_ok(),
                is_certificate,
                "{text}"
            );
            assert_eq!(
                private_key("--admin-cert-key", &path).is_ok(),
                is_key,
                "{text}"
            );
        }
        let refused = certificates("--ca", &path).unwrap_err().to_string();
        assert!(
            refused.starts_with("--ca: ") && refused.contains("ca.pem"),
            "{refused}"
        );
    }
}
