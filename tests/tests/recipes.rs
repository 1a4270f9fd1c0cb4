//! Goal: the recipes in `docs/recipes` work as they are written, and what they show is what one sees.
//!
//! Method: every page is read, its commands are run in a shell against a cluster of real processes, in a
//! folder like the one that the recipes ask for, and what they print is held against the page.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use aimslog_tests::desk::Desk;
use aimslog_tests::recipe::{blocks, folder, follow, is_shown, page};

/// The pages, each of which is followed in a test of its own.
const PAGES: [&str; 4] = [
    "ai-workflows",
    "human-oversight",
    "internal-audit-trail",
    "models-in-use",
];

/// Follows the set-up and then a page, from a copy of the folder of records.
async fn follow_page(name: &str) {
    let desk = Desk::new().await;
    let data = folder().join("data").join(name);
    for file in files_of(&data) {
        let content = fs::read(data.join(&file)).unwrap();
        desk.write(&format!("{name}/{file}"), &content);
    }
    let policy = fs::read(desk.cluster.folder().join("public/policy.txt")).unwrap();
    desk.write("policy.txt", &policy);
    let mut steps = page("README.md");
    steps.extend(page(&format!("{name}.md")));
    if let Err(wrong) = follow(desk.shell(), &steps) {
        panic!("{name}: {wrong}");
    }
}

fn files_of(folder: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(folder).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ai_workflows() {
    follow_page("ai-workflows").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_trail() {
    follow_page("internal-audit-trail").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn human_oversight() {
    follow_page("human-oversight").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_in_use() {
    follow_page("models-in-use").await;
}

#[test]
fn no_page_and_no_file_is_left_over() {
    let mut pages: BTreeSet<String> = PAGES.iter().map(|name| format!("{name}.md")).collect();
    pages.extend(["README.md".to_owned(), "data".to_owned()]);
    assert_eq!(files_of(&folder()), pages);
    let folders: BTreeSet<String> = PAGES.iter().map(ToString::to_string).collect();
    assert_eq!(files_of(&folder().join("data")), folders);
    let overview = fs::read_to_string(folder().join("README.md")).unwrap();
    for name in PAGES {
        assert!(overview.contains(&format!("({name}.md)")), "{name}");
        let text = fs::read_to_string(folder().join(format!("{name}.md"))).unwrap();
        for file in files_of(&folder().join("data").join(name)) {
            // Linked to, and used by a command.
            assert!(text.contains(&format!("(data/{name}/{file})")), "{file}");
            let uses =
                |line: &str| !line.starts_with('|') && line.contains(&format!("{name}/{file}"));
            assert!(text.lines().any(uses), "{file}");
        }
    }
}

#[test]
fn what_a_page_shows_is_told_from_what_it_does_not() {
    let printed = "a record\n  logged   at index 17 of 20\nlimit ONE\nlimit TWO\nend\n";
    for good in [
        printed,
        "a record\nlogged at index … of …\n…\nend",
        "…\nlimit …\nend",
        "…\nlimit TWO\n…\nend\n…",
        "…",
    ] {
        assert!(is_shown(good, printed), "{good}");
    }
    for bad in [
        "",
        "a record",
        "a record\n…\nlimit THREE\n…",
        "…\nlimit TWO\nlimit ONE\n…",
        "…\nlogged at index 1… of 21\n…",
        "…\nlimit ONE…\n…",
        "…\nend\n…\nend",
    ] {
        assert!(!is_shown(bad, printed), "{bad}");
    }
}

#[test]
fn a_page_that_is_wrong_fails() {
    let run = |text: &str| follow(Command::new("bash"), &blocks("page.md", text)?);
    let page = |commands: &str, shows: &str| {
        format!("words\n\n```sh\n{commands}\n```\n\nwords\n\n```text\n{shows}\n```\n")
    };
    assert_eq!(run(&page("A=3\necho \"$A apples\"", "3 apples")), Ok(()));
    let differs = run(&page("echo 3 apples", "4 apples")).unwrap_err();
    assert!(
        differs.contains("page.md:3") && differs.contains("3 apples"),
        "{differs}"
    );
    for fails in [
        "false",
        "echo 3 apples; false",
        "false | cat",
        "A=$(false)",
        "echo $NOTHING_LIKE_IT",
    ] {
        assert!(
            run(&page(&format!("{fails}\necho 3 apples"), "…\n3 apples")).is_err(),
            "{fails}"
        );
    }
    // What a block prints is its own: a variable reaches the next one, words do not.
    let two = format!("{}{}", page("A=3\necho one", "one"), page("echo $A", "3"));
    assert_eq!(run(&two), Ok(()));
}

#[test]
fn a_block_that_would_not_be_run_or_compared_is_found() {
    for (text, why) in [
        ("```text\n3 apples\n```\n", "no commands print it"),
        (
            "```sh\necho\n```\n```text\n1\n```\n```text\n2\n```\n",
            "no commands print it",
        ),
        ("```sh\necho\n```\n", "shows nothing"),
        ("```console\necho\n```\n", "sh or text"),
        ("```sh\necho\n", "no end"),
        ("no block", "shows nothing"),
    ] {
        let found = blocks("page.md", text).unwrap_err();
        assert!(found.contains(why), "{text}: {found}");
    }
}
