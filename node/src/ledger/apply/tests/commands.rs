//! Commands other than batches of evidence: time, level, heads, attachments; and the properties of
//! whole histories.

use super::*;

#[test]
fn registration_time_never_goes_back_nor_jumps_within_a_term() {
    let (_, mut engine) = world();
    let tick = |time_ms| Command::Tick { time_ms };
    assert_eq!(engine.run(&tick(START_MS + 60_000)), Outcome::Done);
    let refused = Outcome::TimeRefused {
        last_ms: START_MS + 60_000,
    };
    assert_eq!(engine.run(&tick(START_MS + 59_999)), refused);
    assert_eq!(engine.run(&tick(START_MS + 120_001)), refused);
    engine.term += 1;
    assert_eq!(
        engine.run(&tick(START_MS + 59_999)),
        refused,
        "not even in a new term"
    );
    assert_eq!(engine.run(&tick(START_MS + 9_000_000)), Outcome::Done);
    let refused = Outcome::TimeRefused {
        last_ms: START_MS + 9_000_000,
    };
    assert_eq!(engine.run(&tick(START_MS + 9_060_001)), refused);
}

#[test]
fn a_level_is_only_raised_and_an_unknown_one_stops() {
    let (_, mut engine) = world();
    assert!(matches!(
        engine.run(&Command::Level(1)),
        Outcome::Refused(_)
    ));
    let stopped = engine.try_run(&Command::Level(2));
    assert!(matches!(
        stopped,
        Err(ApplyError::UnknownLevel { found: 2 })
    ));
}

#[test]
fn publishes_what_the_policy_accepts_and_its_own_tree_has() {
    let (world, mut engine) = world();
    let Outcome::Cut { size, root } = engine.run(&Command::Cut { time_ms: START_MS }) else {
        panic!()
    };
    let own = tree::root_at(&engine.rows, TreeSize(size)).unwrap();
    assert_eq!(*own.as_bytes(), root);
    let publish = |cosigners| Command::Publish(world.publish(size, own, cosigners));
    assert!(
        matches!(engine.run(&publish(1)), Outcome::Refused(_)),
        "one of three"
    );
    assert_eq!(engine.run(&publish(2)), Outcome::Published { number: 0 });
    assert_eq!(
        engine.run(&publish(3)),
        Outcome::Published { number: 1 },
        "more signatures"
    );
    let head = newest_head(&engine.rows).unwrap().unwrap();
    assert_eq!((head.number, head.size, head.trusted), (1, size, true));
    let smaller = tree::root_at(&engine.rows, TreeSize(2)).unwrap();
    let older = engine.run(&Command::Publish(world.publish(2, smaller, 2)));
    assert!(
        matches!(older, Outcome::Refused(_)),
        "smaller than the newest"
    );
}

#[test]
fn only_a_quorum_can_call_this_node_corrupt() {
    let (world, mut engine) = world();
    let corrupt = codec::single(Single::Corrupt);
    for (cosigners, remembered) in [(0, false), (1, false), (2, true)] {
        let publish = world.publish(4, other_root(), cosigners);
        let Outcome::Refused(_) = engine.run(&Command::Publish(publish)) else {
            panic!()
        };
        assert_eq!(
            engine.rows.row(&corrupt).unwrap().is_some(),
            remembered,
            "{cosigners}"
        );
    }
    assert!(newest_head(&engine.rows).unwrap().is_none());
}

#[test]
fn old_heads_are_thinned_to_one_an_hour() {
    let (world, mut engine) = world();
    let root = engine.core().frontier.root();
    for minute in 0..30 * 60 {
        if minute % 20 == 0 {
            engine.run(&Command::Publish(world.publish(4, root, 2)));
        }
        engine.time_ms += 60_000;
        engine.run(&Command::Tick {
            time_ms: engine.time_ms,
        });
    }
    let kept = (0..90).filter(|number| reader::head(&engine.rows, *number).unwrap().is_some());
    let kept: Vec<u64> = kept.collect();
    let old: Vec<u64> = kept.iter().copied().filter(|number| *number < 18).collect();
    assert_eq!(
        old,
        [2, 5, 8, 11, 14, 17],
        "the last of three in each of six hours"
    );
    assert_eq!(kept.len(), 6 + 72, "all of the last day");
}

#[test]
fn attachments_are_stored_for_known_organisations_and_counted() {
    let (world, mut engine) = world();
    let bytes = Bytes::from_static(b"a scan");
    let digest: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&bytes).into();
    let chunk = |organization: &str| BlobChunk {
        time_ms: START_MS,
        organization: organization.to_owned(),
        digest,
        offset: 0,
        total: 6,
        bytes: bytes.clone(),
    };
    let naming = |id| Item {
        attachments: vec![digest],
        ..item(signed(&world.header(11, id), 11))
    };
    assert_eq!(
        reasons(&engine.batch(vec![naming(1)])[0]),
        [Reason::MissingLinkTarget]
    );
    assert!(matches!(
        engine.run(&Command::Blob(chunk("nobody"))),
        Outcome::Refused(_)
    ));
    let stored = engine.run(&Command::Blob(chunk("acme")));
    assert_eq!(
        stored,
        Outcome::Blob {
            received: 6,
            complete: true
        }
    );
    logged(engine.batch(vec![naming(2)]).remove(0));
    let name = blobs::BlobName {
        organization: "acme",
        digest: &digest,
    };
    assert_eq!(
        blobs::complete(&engine.rows, name)
            .unwrap()
            .unwrap()
            .references,
        1
    );
}

#[test]
fn payloads_of_accepted_statements_alone_are_stored() {
    let (world, mut engine) = world();
    let sealed = Item {
        payload: None,
        ..item(signed(&world.header(11, 1), 11))
    };
    let refused = Header {
        rules: Some([0; 32]),
        ..world.header(11, 2)
    };
    engine.batch(vec![
        sealed,
        item(signed(&refused, 11)),
        item(signed(&world.header(11, 3), 11)),
    ]);
    let at = |index| reader::payload(&engine.rows, LeafIndex(index)).unwrap();
    assert_eq!(at(4), Some(PayloadRow::Sealed));
    assert_eq!(
        at(5),
        Some(PayloadRow::Present(Bytes::from_static(b"payload")))
    );
    assert_eq!((at(3), at(6)), (None, None));
}

#[test]
fn every_node_of_a_tree_over_two_tiles_can_be_read() {
    let (world, mut engine) = world();
    let items = (0..600).map(|id| item(signed(&world.header(11, id), 11)));
    engine.batch(items.collect());
    let size = engine.core().frontier.size();
    assert_eq!(size, TreeSize(604));
    assert!(engine.rows.row(&codec::tile(0, 1)).unwrap().is_some());
    assert!(engine.rows.row(&codec::tile(0, 2)).unwrap().is_none());
    assert_eq!(
        tree::root_at(&engine.rows, size).unwrap(),
        engine.core().frontier.root()
    );
    let head = engine.core().frontier.head();
    for index in [0, 3, 255, 256, 511, 512, 603] {
        let proof = tree::inclusion(&engine.rows, LeafIndex(index), size)
            .unwrap()
            .unwrap();
        let entry = reader::entry(&engine.rows, LeafIndex(index))
            .unwrap()
            .unwrap();
        let leaf = aimslog_proto::tlog::LeafHash::of(&entry.statement);
        assert_eq!(*leaf.as_bytes(), entry.leaf_hash);
        proof.verify(leaf, &head).unwrap();
    }
}

/// What a random command is made from.
#[derive(Debug, Clone)]
enum Step {
    Evidence { id: u64, seed: u8, amend: bool },
    Garbage(Vec<u8>),
    Cut,
    Tick { ms: u64 },
    Term,
    Publish { cosigners: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0_u64..12, prop_oneof![Just(10_u8), Just(11), Just(77)], any::<bool>())
            .prop_map(|(id, seed, amend)| Step::Evidence { id, seed, amend }),
        1 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(Step::Garbage),
        1 => Just(Step::Cut),
        1 => (0_u64..120_000).prop_map(|ms| Step::Tick { ms }),
        1 => Just(Step::Term),
        1 => (0_usize..4).prop_map(|cosigners| Step::Publish { cosigners }),
    ];
    proptest::collection::vec(step, 1..24)
}

/// The commands of these steps, as a leader over `engine` would propose them.
fn run_steps(world: &World, engine: &mut Engine, steps: &[Step]) -> Vec<(u64, Command)> {
    let mut commands = Vec::new();
    for step in steps {
        let time_ms = engine.time_ms;
        let batch = |statement| {
            Command::Batch(Batch {
                time_ms,
                items: vec![item(statement)],
            })
        };
        let command = match step {
            Step::Evidence { id, seed, amend } => {
                let mut header = world.header(*seed, *id);
                if *amend {
                    let first = signed(&world.header(11, 0), 11);
                    let first = *id_of(&first).as_bytes();
                    header.revision = Some(revision(first, first));
                }
                batch(signed(&header, *seed))
            }
            Step::Garbage(bytes) => batch(Bytes::copy_from_slice(bytes)),
            Step::Cut => Command::Cut { time_ms },
            Step::Tick { ms } => {
                engine.time_ms += ms % 60_000;
                Command::Tick {
                    time_ms: time_ms + ms,
                }
            }
            Step::Term => {
                engine.term += 1;
                Command::Tick { time_ms }
            }
            Step::Publish { cosigners } => {
                let head = engine.core().frontier.head();
                Command::Publish(world.publish(head.size.0, head.root, *cosigners))
            }
        };
        engine.run(&command);
        commands.push((engine.term, command));
    }
    commands
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn equal_commands_make_equal_states_also_without_payloads(steps in steps()) {
        let world = World::new();
        let mut first = Engine::with_acme(&world);
        let mut second = Engine::with_acme(&world);
        let mut stripped = Engine::with_acme(&world);
        for (term, command) in run_steps(&world, &mut first, &steps) {
            (second.term, stripped.term) = (term, term);
            // Over the wire and back, as a follower gets it.
            let again = Command::decode(&command.encode()).unwrap();
            let outcome = second.run(&again);
            let erased = match again {
                Command::Batch(Batch { time_ms, items }) => {
                    let erase = |item| Item { payload: None, ..item };
                    Command::Batch(Batch { time_ms, items: items.into_iter().map(erase).collect() })
                }
                other => other,
            };
            prop_assert_eq!(stripped.run(&erased), outcome);
        }
        prop_assert_eq!(&first.rows, &second.rows);
        let digest = state_digest(&first.rows).unwrap();
        prop_assert_eq!(state_digest(&second.rows).unwrap(), digest);
        prop_assert_eq!(state_digest(&stripped.rows).unwrap(), digest);
        let replayed = crate::ledger::registry::read(&first.rows).unwrap();
        prop_assert_eq!(replayed.last_index(), first.registry.last_index());
        let counts = super::replayed(&first).counts();
        prop_assert_eq!(counts.system + counts.evidence, first.core().frontier.size().0);
    }

    #[test]
    fn the_tree_does_not_depend_on_how_statements_are_batched(cuts in proptest::collection::vec(1_usize..6, 1..12)) {
        let world = World::new();
        let mut single = Engine::with_acme(&world);
        let mut batched = Engine::with_acme(&world);
        let mut id = 0;
        for count in cuts {
            let items: Vec<_> = (0..count)
                .map(|_| {
                    id += 1;
                    item(signed(&world.header(11, id), 11))
                })
                .collect();
            for item in items.clone() {
                single.batch(vec![item]);
            }
            batched.batch(items);
        }
        prop_assert_eq!(single.core().frontier, batched.core().frontier);
    }
}
