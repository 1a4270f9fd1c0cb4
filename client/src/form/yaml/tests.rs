use super::*;

fn rule_of(text: &str) -> (usize, YamlRule) {
    let error = documents(text.as_bytes())
        .1
        .unwrap_or_else(|| panic!("{text:?} was read"));
    (error.line, error.rule)
}

#[test]
fn values_keep_their_text_and_their_line() {
    let text = "# a form\nmeta:\n  kind: finding\nrecord:\n  no: no\n  count: 1e3\n  at: 2026-11-02\n  \
        said: 'null'\n  gone: null\n  rows:\n    -\n    - a: 1\n      b:\n    - [x, key:y]\n";
    let (nodes, error) = documents(text.as_bytes());
    assert_eq!(error, None);
    let [node] = nodes.as_slice() else {
        panic!("{nodes:?}")
    };
    let (_, record) = node.member("record").expect("there");
    let plain = |name: &str| match &record.member(name).expect(name).1.value {
        Value::Plain(text) | Value::Quoted(text) => text.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (plain("no"), plain("count"), plain("at")),
        ("no".into(), "1e3".into(), "2026-11-02".into())
    );
    assert_eq!(
        record.member("said").expect("said").1.value,
        Value::Quoted("null".to_owned())
    );
    for (path, line) in [
        ("meta", Some(2)),
        ("meta.kind", Some(3)),
        ("record.at", Some(7)),
        // The first row says nothing, so the second is the first element.
        ("record.rows[0].a", Some(12)),
        ("record.rows[1]", Some(14)),
        ("record.rows[2]", None),
        ("record.other", None),
    ] {
        assert_eq!(node.line_of(path), line, "{path}");
    }
}

#[test]
fn documents_stand_one_after_the_other() {
    let (nodes, error) = documents(b"---\na: 1\n---\n# nothing\n---\nb: 2\n...\n");
    assert_eq!(error, None);
    assert_eq!(
        nodes.iter().map(|node| node.line).collect::<Vec<_>>(),
        [2, 6]
    );
    assert_eq!(documents(b"").0.len(), 0);
}

#[test]
fn what_grows_or_hides_is_refused_with_its_line() {
    for (text, line, rule) in [
        ("a: &x 1\nb: *x\n", 1, YamlRule::Alias),
        ("a: 1\nb: &x [*x]\n", 2, YamlRule::Alias),
        ("a: !!str 1\n", 1, YamlRule::Tag),
        ("a: 1\nb: !own {}\n", 2, YamlRule::Tag),
        ("a: 1\nb: 2\na: 3\n", 3, YamlRule::Duplicate("a".to_owned())),
        ("? [a]\n: 1\n", 1, YamlRule::Name),
        ("? {a: 1}\n: 1\n", 1, YamlRule::Name),
    ] {
        assert_eq!(rule_of(text), (line, rule), "{text:?}");
    }
    let deep = "[".repeat(200) + &"]".repeat(200);
    assert_eq!(rule_of(&deep).1, YamlRule::TooDeep);
    let deep: Vec<String> = (0..100)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    let deep = deep.concat();
    assert_eq!(rule_of(&deep).1, YamlRule::TooDeep);
    let long = "- 1\n".repeat(YAML_NODES_MAX + 1);
    assert_eq!(rule_of(&long).1, YamlRule::TooMany);
    assert_eq!(
        rule_of(&"#".repeat(YAML_BYTES_MAX + 1)).1,
        YamlRule::TooLarge
    );
    assert!(matches!(rule_of("a: [1\nb: 2"), (_, YamlRule::Syntax(_))));
    assert!(matches!(rule_of("a: 1\n\tb: 2"), (1, YamlRule::Syntax(_))));
    let (_, error) = documents(b"a: 1\nb: \xff\n");
    assert_eq!(
        error.map(|error| (error.line, error.rule)),
        Some((2, YamlRule::NotUtf8))
    );
}

#[test]
fn documents_before_a_mistake_are_read() {
    let (nodes, error) = documents(b"a: 1\n---\nb: [\n");
    assert_eq!(nodes.len(), 1);
    assert!(error.is_some());
}
