//! `aimslog registry replay`: repeats what the ledger decided, entry by entry.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};

use aimslog_client::trust::SignedHead;
use aimslog_client::{Entries, Ledger, RecordFilter};
use aimslog_proto::aims::replay::{Content, Replay};
use aimslog_proto::limits::ENTRY_BYTES_MAX;
use aimslog_proto::reason::Violation;
use aimslog_proto::tlog::LeafIndex;
use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::args::Connection;
use crate::context::{Context, read};
use crate::describe::{Head, counted};
use crate::exit::{Exit, UserError};
use crate::limited::lines_within;
use crate::output::Output;
use crate::verb::list::records;
use crate::verb::runtime;

/// Most bytes of a line that is looked at.
const LINE_BYTES_MAX: u64 = 4 * ENTRY_BYTES_MAX as u64;

/// Repeat every decision of the ledger from the entries of its log.
///
/// For every entry: signature, whether the key was valid there, role, audience, unique id, links,
/// versions and life cycle, and who may sign a registry statement. With --content also the fields, as
/// far as you may read them. In the end the root over all entries must be that of a head which the
/// policy accepts. Not in the entries, and not judged: registration times, so whether a statement had
/// expired, and whether attachments were stored.
///
/// Ends with 1 where an entry has no right to its place, or the root is another.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: aimslog registry replay --save entries.jsonl
         aimslog checkpoint --save head.checkpoint
         ... on a machine without network ...
         aimslog registry replay --from entries.jsonl --checkpoint head.checkpoint --policy policy.txt")]
pub(crate) struct ReplayCommand {
    /// Judge the fields of your organisation's records as well
    #[arg(long, conflicts_with = "from")]
    content: bool,
    /// Keep the entries in this file, one JSON document a line
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    save: Option<PathBuf>,
    /// Take the entries from a file that --save has written, without a network
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// With --from: the head that the entries must lead to
    #[arg(long, value_name = "FILE", requires = "from")]
    checkpoint: Option<PathBuf>,
}

/// One entry in a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    index: u64,
    /// Base64.
    statement: String,
}

/// What was repeated.
#[derive(Serialize)]
struct Summary {
    entries: u64,
    registry_statements: u64,
    evidence: u64,
    content_judged: u64,
    content_withheld: u64,
    root: String,
    /// The head that the root was compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<Head>,
    not_judged: [&'static str; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<Refused>,
    verdict: &'static str,
}

/// The entry that has no right to its place.
#[derive(Serialize)]
struct Refused {
    index: u64,
    violations: Vec<String>,
}

/// Why the log could not be repeated.
pub(super) struct Stopped {
    pub(super) index: LeafIndex,
    pub(super) violations: Vec<Violation>,
}

impl Stopped {
    /// As an error of a command that needs the whole log.
    pub(super) fn into_error(self) -> anyhow::Error {
        let words: Vec<String> = self.violations.iter().map(ToString::to_string).collect();
        let words = words.join("; ");
        UserError::not_verified(format!(
            "the entry at {} has no right to its place: {words}",
            self.index.0
        ))
    }
}

impl ReplayCommand {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        let (replay, head, stopped) = match &self.from {
            Some(file) => self.offline(&context, file)?,
            None => self.online(&context, output)?,
        };
        let shown = shown(&replay, head.as_ref(), stopped);
        let exit = match shown.verdict {
            "REPEATED" | "REPEATED, COMPARED WITH NO HEAD" => Exit::Ok,
            _ => Exit::NotVerified,
        };
        output.data(&shown, text(&shown))?;
        Ok(exit)
    }

    fn online(
        &self,
        context: &Context,
        output: Output,
    ) -> Result<(Replay, Option<SignedHead>, Option<Stopped>)> {
        let runtime = runtime()?;
        // Connections are made within a runtime, also those that open later.
        let _entered = runtime.enter();
        let ledger = context.ledger()?;
        let content = if self.content {
            runtime.block_on(disclosures(&ledger, context.organization()?))?
        } else {
            BTreeMap::new()
        };
        let mut file = match &self.save {
            Some(path) => {
                let made = File::create_new(path);
                Some(made.with_context(|| format!("cannot make {}", path.display()))?)
            }
            None => None,
        };
        let mut replay = Replay::new();
        let mut stopped = None;
        let keep = |index: LeafIndex, entry: &[u8]| -> Result<bool> {
            if let Some(file) = &mut file {
                let line = Line {
                    index: index.0,
                    statement: STANDARD.encode(entry),
                };
                writeln!(file, "{}", serde_json::to_string(&line)?).context("cannot write")?;
            }
            if stopped.is_none() {
                stopped = push(&mut replay, (index, entry), content.get(&index)).err();
            }
            // What is to be kept is kept whole, also behind a fault.
            Ok(stopped.is_none() || self.save.is_some())
        };
        let head = runtime.block_on(every_entry(&ledger, output, keep))?;
        if let Some(file) = &file {
            file.sync_all().context("cannot write")?;
        }
        Ok((replay, Some(head), stopped))
    }

    fn offline(
        &self,
        context: &Context,
        file: &Path,
    ) -> Result<(Replay, Option<SignedHead>, Option<Stopped>)> {
        let head = match &self.checkpoint {
            None => None,
            Some(path) => {
                let text = String::from_utf8_lossy(&read(path)?).into_owned();
                Some(
                    SignedHead::check(&text, &context.policy()?).map_err(|error| {
                        UserError::not_verified(format!("{}: {error}", path.display()))
                    })?,
                )
            }
        };
        let lines = BufReader::new(
            File::open(file).with_context(|| format!("cannot read {}", file.display()))?,
        );
        let mut replay = Replay::new();
        for (number, line) in lines_within(lines, LINE_BYTES_MAX).enumerate() {
            let place = || format!("{}:{}", file.display(), number + 1);
            let line = line.with_context(place)?;
            let entry = parse_line(&line, number)
                .map_err(|why| UserError::usage(format!("{}: {why}", place())))?;
            let index = LeafIndex(u64::try_from(number).unwrap_or(u64::MAX));
            if head
                .as_ref()
                .is_some_and(|head| index.0 >= head.head().size.0)
            {
                // What the head does not cover is not compared with it.
                break;
            }
            if let Err(stopped) = push(&mut replay, (index, &entry), None) {
                return Ok((replay, head, Some(stopped)));
            }
        }
        Ok((replay, head, None))
    }
}

fn parse_line(line: &str, number: usize) -> Result<Vec<u8>, String> {
    // Twice the size of an entry is more than any Base64 of one.
    if line.len() > 2 * ENTRY_BYTES_MAX {
        return Err(format!("a line of {} bytes holds no entry", line.len()));
    }
    let entry: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if usize::try_from(entry.index) != Ok(number) {
        return Err(format!("index {} where {number} must be", entry.index));
    }
    STANDARD
        .decode(&entry.statement)
        .map_err(|error| format!("statement: {error}"))
}

fn push(
    replay: &mut Replay,
    (index, entry): (LeafIndex, &[u8]),
    content: Option<&Vec<Vec<u8>>>,
) -> Result<(), Stopped> {
    let content = content.map_or(Content::NotShown, |shown| Content::Shown(shown));
    replay
        .push(entry, content)
        .map_err(|violations| Stopped { index, violations })
}

/// The disclosures of the organisation's records that the reader may see, by index.
async fn disclosures(
    ledger: &Ledger,
    organization: &str,
) -> Result<BTreeMap<LeafIndex, Vec<Vec<u8>>>> {
    let filter = RecordFilter {
        organization: organization.to_owned(),
        ..RecordFilter::default()
    };
    let records = records(ledger, &filter, usize::MAX, |_| ()).await?;
    let shown = records
        .into_iter()
        .filter(|record| !record.disclosures.is_empty());
    Ok(shown
        .map(|record| (record.entry.index, record.disclosures))
        .collect())
}

/// Gives every entry under the newest verified head to `keep`, until that says no.
pub(super) async fn every_entry(
    ledger: &Ledger,
    output: Output,
    mut keep: impl FnMut(LeafIndex, &[u8]) -> Result<bool>,
) -> Result<SignedHead> {
    let head = ledger.checkpoint().await?;
    let size = head.head().size.0;
    let bar = output.progress(usize::try_from(size).unwrap_or(usize::MAX), "entries");
    let mut next = LeafIndex(0);
    while next.0 < size {
        let page = ledger.unverified_entries(next, Entries::All).await?;
        for (index, entry) in page.entries {
            if index.0 >= size || !keep(index, &entry)? {
                bar.finish_and_clear();
                return Ok(head);
            }
            next = LeafIndex(index.0.saturating_add(1));
            bar.inc(1);
        }
        if page.next.is_none() {
            break;
        }
    }
    bar.finish_and_clear();
    Ok(head)
}

/// Repeats every decision of the log from its entries and compares the root with the newest verified
/// head; `before` sees each entry and the state in front of it. Returns how many entries there are.
///
/// # Errors
/// Also where an entry has no right to its place, or the root is another.
pub(crate) async fn whole_log(
    ledger: &Ledger,
    output: Output,
    replay: &mut Replay,
    mut before: impl FnMut(&Replay, LeafIndex, &[u8]) -> Result<()>,
) -> Result<u64> {
    let keep = |index: LeafIndex, entry: &[u8]| {
        before(replay, index, entry)?;
        replay
            .push(entry, Content::NotShown)
            .map_err(|violations| Stopped { index, violations }.into_error())?;
        Ok(true)
    };
    let head = every_entry(ledger, output, keep).await?;
    if replay.tree().head() != *head.head() {
        return Err(UserError::not_verified(
            "the entries do not lead to the root that the nodes have cosigned",
        ));
    }
    Ok(head.head().size.0)
}

fn shown(replay: &Replay, head: Option<&SignedHead>, stopped: Option<Stopped>) -> Summary {
    let counts = replay.counts();
    let tree = replay.tree().head();
    let verdict = match (&stopped, head) {
        (Some(_), _) => "NOT REPEATED",
        (None, None) => "REPEATED, COMPARED WITH NO HEAD",
        (None, Some(head)) if *head.head() == tree => "REPEATED",
        (None, Some(_)) => "ANOTHER TREE",
    };
    Summary {
        entries: tree.size.0,
        registry_statements: counts.system,
        evidence: counts.evidence,
        content_judged: counts.content,
        content_withheld: counts.content_not_checked,
        root: tree.root.hash().to_base64(),
        head: head.map(Head::of),
        not_judged: ["registration times", "stored attachments"],
        refused: stopped.map(|stopped| Refused {
            index: stopped.index.0,
            violations: stopped.violations.iter().map(ToString::to_string).collect(),
        }),
        verdict,
    }
}

fn text(shown: &Summary) -> String {
    let number =
        |count: u64, what: &str| counted(usize::try_from(count).unwrap_or(usize::MAX), what);
    let mut lines = vec![
        shown.verdict.to_owned(),
        format!(
            "judged      {}: {}, {} of evidence",
            if shown.entries == 1 {
                "1 entry".to_owned()
            } else {
                format!("{} entries", shown.entries)
            },
            number(shown.registry_statements, "registry statement"),
            shown.evidence
        ),
        format!(
            "content     {} judged, {} not shown",
            shown.content_judged, shown.content_withheld
        ),
        format!("root        {}", shown.root),
    ];
    match (&shown.refused, &shown.head) {
        (Some(refused), _) => {
            lines.push(format!(
                "entry {} has no right to its place:",
                refused.index
            ));
            lines.extend(refused.violations.iter().map(|words| format!("  {words}")));
        }
        (None, Some(head)) => lines.push(format!("compared with\n{head}").trim_end().to_owned()),
        (None, None) => {
            lines.push("compared with no head: give one with --checkpoint".to_owned());
        }
    }
    lines.push(format!("not judged  {}", shown.not_judged.join(", ")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_entry_of_its_number() {
        let line = r#"{"index":3,"statement":"0oQ="}"#;
        assert_eq!(parse_line(line, 3), Ok(vec![0xd2, 0x84]));
        assert!(parse_line(line, 4).unwrap_err().contains("where 4 must be"));
        assert!(parse_line("{}", 0).is_err());
        assert!(parse_line(r#"{"index":0,"statement":"!"}"#, 0).is_err());
        assert!(parse_line(&"x".repeat(2 * ENTRY_BYTES_MAX + 1), 0).is_err());
    }

    #[test]
    fn an_entry_without_a_right_is_named_and_the_rest_counts() {
        let mut replay = Replay::new();
        let stopped = push(&mut replay, (LeafIndex(0), b"x"), None).err();
        let shown = shown(&replay, None, stopped);
        assert_eq!(shown.verdict, "NOT REPEATED");
        let text = text(&shown);
        assert!(text.contains("entry 0 has no right to its place"), "{text}");
    }
}
