//! Faults of form: encoding, header, signature, key, times.

use std::sync::Arc;

use aimslog_client::clock;
use aimslog_proto::reason::Reason as R;
use aimslog_proto::statement::key::SigningKey;

use super::Faulty;
use crate::draft::{Draft, PREFIX, claim, join, label};

/// A good statement after this was done to it.
macro_rules! broken {
    ($draft:ident => $break:expr) => {
        |scene| {
            let mut $draft = scene.draft();
            $break;
            $draft.submission()
        }
    };
}
pub(super) use broken;

/// A good submission with other bytes in the place of its statement.
macro_rules! bytes {
    ($draft:ident => $bytes:expr) => {
        |scene| {
            let $draft = scene.draft();
            let bytes = $bytes;
            $draft.submission_of(bytes)
        }
    };
}

fn cut(draft: &Draft) -> Vec<u8> {
    let mut bytes = draft.statement();
    bytes.truncate(bytes.len() / 2);
    bytes
}

fn with_item(draft: &Draft, place: usize, item: &[u8]) -> Vec<u8> {
    let mut items = draft.items();
    items[place] = item.to_vec();
    join(&PREFIX, &items)
}

/// A map of one entry: a byte string of so many bytes.
fn filler(count: usize) -> Vec<u8> {
    let mut bytes = vec![0xa1, 0x18, 0x63, 0x59];
    bytes.extend(u16::try_from(count).unwrap().to_be_bytes());
    bytes.resize(bytes.len() + count, 0);
    bytes
}

/// What is wrong with the bytes, the header and the signature.
pub const ROWS: &[Faulty] = &[
    Faulty {
        name: "no bytes at all",
        expected: &[(R::CborMalformed, "statement")],
        make: bytes!(_draft => Vec::new()),
    },
    Faulty {
        name: "bytes cut off",
        expected: &[(R::CborMalformed, "statement")],
        make: bytes!(draft => cut(&draft)),
    },
    Faulty {
        name: "bytes behind the statement",
        expected: &[(R::CborMalformed, "statement")],
        make: bytes!(draft => [draft.statement(), vec![0]].concat()),
    },
    Faulty {
        name: "three items",
        expected: &[(R::CborMalformed, "statement")],
        make: bytes!(draft => join(&[0xd2, 0x83], &draft.items()[..3])),
    },
    Faulty {
        name: "a tag with a long head",
        expected: &[(R::CborNotCanonical, "statement")],
        make: bytes!(draft => join(&[0xd8, 0x12, 0x84], &draft.items())),
    },
    Faulty {
        name: "an array of indefinite length",
        expected: &[(R::CborNotCanonical, "statement")],
        make: bytes!(draft => [join(&[0xd2, 0x9f], &draft.items()), vec![0xff]].concat()),
    },
    Faulty {
        name: "no tag",
        expected: &[(R::WrongTag, "statement")],
        make: bytes!(draft => join(&[0x84], &draft.items())),
    },
    Faulty {
        name: "the tag of another message",
        expected: &[(R::WrongTag, "statement")],
        make: bytes!(draft => join(&[0xd1, 0x84], &draft.items())),
    },
    Faulty {
        name: "a detached payload",
        expected: &[(R::DetachedPayload, "payload")],
        make: bytes!(draft => with_item(&draft, 2, &[0xf6])),
    },
    Faulty {
        name: "a payload that is no commitment",
        expected: &[(R::CborMalformed, "payload")],
        make: broken!(draft => draft.payload = Some(vec![0x84])),
    },
    Faulty {
        name: "a header that is no map",
        expected: &[(R::CborMalformed, "header")],
        make: bytes!(draft => join(&PREFIX, &draft.items_over(&[0xa1]))),
    },
    Faulty {
        name: "header keys out of order",
        expected: &[(R::CborNotCanonical, "header")],
        make: broken!(draft => draft.claims.0.reverse()),
    },
    Faulty {
        name: "a claim twice",
        expected: &[(R::CborNotCanonical, "header")],
        make: broken!(draft => {
            let first = draft.claims.0[0].clone();
            draft.claims.0.insert(0, first);
        }),
    },
    Faulty {
        name: "more bytes than anybody looks at",
        expected: &[(R::StatementTooLarge, "statement")],
        make: bytes!(draft => with_item(&draft, 1, &filler(61_500))),
    },
    Faulty {
        name: "a large statement with a label that is not ours",
        expected: &[
            (R::StatementTooLarge, "statement"),
            (R::UnknownHeader, "header.label 99"),
        ],
        make: broken!(draft => draft.labels.set(99, |value| {
            value.bytes(&[0; 5_000]);
        })),
    },
    Faulty {
        name: "an algorithm that is none of ours",
        expected: &[(R::UnknownAlgorithm, "header.alg")],
        make: broken!(draft => draft.labels.set(label::ALG, |value| {
            value.int(-7);
        })),
    },
    Faulty {
        name: "an algorithm that genesis does not accept",
        expected: &[(R::UnknownAlgorithm, "header.alg")],
        make: broken!(draft => draft.labels.set(label::ALG, |value| {
            value.int(-19);
        })),
    },
    Faulty {
        name: "a claim that is not ours",
        expected: &[(R::UnknownHeader, "header.claim 99")],
        make: broken!(draft => draft.claims.set(99, |value| {
            value.uint(1);
        })),
    },
    Faulty {
        name: "no claimed time",
        expected: &[(R::MissingHeader, "header.iat")],
        make: broken!(draft => draft.claims.remove(claim::IAT)),
    },
    Faulty {
        name: "no origin and no rules",
        expected: &[
            (R::MissingHeader, "header.origin"),
            (R::MissingHeader, "header.rules"),
        ],
        make: broken!(draft => {
            draft.claims.remove(claim::ORIGIN);
            draft.claims.remove(claim::RULES);
        }),
    },
    Faulty {
        name: "an id of four bytes",
        expected: &[(R::InvalidHeader, "header.cti")],
        make: broken!(draft => draft.claims.set(claim::CTI, |value| {
            value.bytes(&[1, 2, 3, 4]);
        })),
    },
    Faulty {
        name: "a person's key that says to be an AI agent's",
        expected: &[(R::InvalidHeader, "header.origin")],
        make: broken!(draft => draft.claims.set(claim::ORIGIN, |value| {
            value.uint(2);
        })),
    },
    Faulty {
        name: "a signature over other bytes",
        expected: &[(R::WrongSignature, "signature")],
        make: bytes!(draft => {
            let mut bytes = draft.statement();
            *bytes.last_mut().unwrap() ^= 1;
            bytes
        }),
    },
    Faulty {
        name: "a signature by another key than kid names",
        expected: &[(R::WrongSignature, "signature")],
        make: broken!(draft => draft.signer = Arc::new(SigningKey::from_seed(&[9; 32]))),
    },
    Faulty {
        name: "a signature of three bytes",
        expected: &[(R::WrongSignature, "signature")],
        make: bytes!(draft => with_item(&draft, 3, &[0x43, 1, 2, 3])),
    },
    Faulty {
        name: "a key that nobody registered",
        expected: &[(R::UnknownKey, "header.kid")],
        make: broken!(draft => draft.sign_as(&Arc::new(SigningKey::from_seed(&[9; 32])))),
    },
    Faulty {
        name: "a key that was revoked",
        expected: &[(R::RevokedKey, "header.kid")],
        make: |scene| {
            let mut draft = scene.draft();
            draft.sign_as(&scene.revoked);
            draft.submission()
        },
    },
    Faulty {
        name: "an administrator in no other role",
        expected: &[(R::NotPermitted, "header.kid")],
        make: |scene| {
            let mut draft = scene.draft();
            draft.sign_as(&scene.hospital.administrator);
            draft.submission()
        },
    },
    Faulty {
        name: "a decision by an AI agent",
        expected: &[(R::NotPermitted, "header.origin")],
        make: |scene| {
            let mut draft = scene.draft();
            draft.sign_as(&scene.agent);
            draft.claims.set(claim::ORIGIN, |value| {
                value.uint(2);
            });
            draft.claims.set(claim::ON_BEHALF_OF, |value| {
                value.text("office-1");
            });
            draft.submission()
        },
    },
    Faulty {
        name: "an operator's key",
        expected: &[(R::NotPermitted, "header.kid")],
        make: |scene| {
            let mut draft = scene.draft();
            draft.sign_as(&scene.operator);
            draft.submission()
        },
    },
    Faulty {
        name: "for a principal that nobody registered",
        expected: &[(R::NotPermitted, "header.on_behalf_of")],
        make: broken!(draft => draft.claims.set(claim::ON_BEHALF_OF, |value| {
            value.text("p-nobody");
        })),
    },
    Faulty {
        name: "the issuer is another organisation",
        expected: &[(R::WrongIssuer, "header.iss")],
        make: broken!(draft => {
            let issuer = draft.claims.text(claim::ISS).replace("hospital", "clinic");
            draft.claims.set(claim::ISS, |value| {
                value.text(&issuer);
            });
        }),
    },
    Faulty {
        name: "the subject is another organisation's",
        expected: &[(R::WrongIssuer, "header.sub")],
        make: broken!(draft => {
            let subject = draft.claims.text(claim::SUB).replace("hospital", "clinic");
            draft.claims.set(claim::SUB, |value| {
                value.text(&subject);
            });
        }),
    },
    Faulty {
        name: "addressed to another ledger",
        expected: &[(R::WrongAudience, "header.aud")],
        make: broken!(draft => draft.claims.set(claim::AUD, |value| {
            value.text("ledger.example.com/another");
        })),
    },
    Faulty {
        name: "expired",
        expected: &[(R::Expired, "header.exp")],
        make: broken!(draft => {
            let now = clock::unix_seconds();
            for (claim, time) in [(claim::IAT, now - 100), (claim::EXP, now - 50)] {
                draft.claims.set(claim, |value| {
                    value.uint(time);
                });
            }
        }),
    },
    Faulty {
        name: "claimed time more than five minutes ahead",
        expected: &[(R::IssuedInFuture, "header.iat")],
        make: broken!(draft => {
            let ahead = clock::unix_seconds() + 330;
            draft.claims.set(claim::IAT, |value| {
                value.uint(ahead);
            });
        }),
    },
];
