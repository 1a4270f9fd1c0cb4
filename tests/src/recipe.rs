//! Recipes: pages of commands that are run as they stand, and what a page shows held against what the
//! commands print.
//!
//! A page has blocks of two kinds. A `sh` block is commands, all of a page in one shell. A `text` block
//! shows what the `sh` block in front of it prints. In it `…` stands for something (an id, a time, a
//! place), a line `…` for any number of lines, and how wide a gap is says nothing.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Stands for what differs from run to run.
const ANYTHING: &str = "…";
/// Begins the line that stands in front of what a block prints.
const MARK: &str = "@@block ";

/// Commands of a page.
#[derive(Debug)]
pub struct Block {
    /// The page and the line where they begin.
    pub place: String,
    /// The commands.
    pub commands: String,
    /// What the page shows of what they print.
    pub shows: Option<String>,
}

/// The folder of the recipes.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/recipes")
}

/// The blocks of a recipe.
pub fn page(name: &str) -> Vec<Block> {
    let path = folder().join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    blocks(name, &text).unwrap_or_else(|error| panic!("{error}"))
}

/// The blocks of a page, or why some of it would not be run or held against anything.
pub fn blocks(page: &str, text: &str) -> Result<Vec<Block>, String> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let place = format!("{page}:{number}");
        let mut content = Vec::new();
        loop {
            match lines.next() {
                Some((_, line)) if line.trim() == "```" => break,
                Some((_, line)) => content.push(line),
                None => return Err(format!("{place}: the block has no end")),
            }
        }
        let content = content.join("\n");
        match (language, blocks.last_mut()) {
            ("sh", _) => blocks.push(Block {
                place,
                commands: content,
                shows: None,
            }),
            ("text", Some(before)) if before.shows.is_none() => before.shows = Some(content),
            ("text", _) => return Err(format!("{place}: no commands print it")),
            _ => return Err(format!("{place}: a block is sh or text, not {language:?}")),
        }
    }
    if blocks.iter().all(|block| block.shows.is_none()) {
        return Err(format!("{page} shows nothing"));
    }
    Ok(blocks)
}

/// Runs the blocks in one shell, which is at home where `shell` is. Tells everything that a page shows
/// and the commands do not print; a command that fails ends it.
pub fn follow(mut shell: Command, blocks: &[Block]) -> Result<(), String> {
    let mut script = String::new();
    for (number, block) in blocks.iter().enumerate() {
        let commands = &block.commands;
        writeln!(script, "printf '\\n{MARK}{number}\\n'\n{commands}").unwrap();
    }
    let ran = shell
        .args(["-euxo", "pipefail", "-c", &script])
        .output()
        .map_err(|error| format!("no shell: {error}"))?;
    let printed = String::from_utf8_lossy(&ran.stdout);
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr);
        return Err(format!("{}\n{printed}\n{said}", ran.status));
    }
    let parts: Vec<&str> = printed.split(&format!("\n{MARK}")).skip(1).collect();
    if parts.len() != blocks.len() {
        return Err(format!("{} of {} blocks ran", parts.len(), blocks.len()));
    }
    let mut wrong = String::new();
    for (block, part) in blocks.iter().zip(parts) {
        let part = part.split_once('\n').map_or("", |(_number, part)| part);
        if let Some(shown) = &block.shows
            && !is_shown(shown, part)
        {
            let place = &block.place;
            writeln!(wrong, "{place} shows\n{shown}\nand they print\n{part}\n").unwrap();
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// Whether this is what was printed.
pub fn is_shown(shown: &str, printed: &str) -> bool {
    let lines = |text: &str| -> Vec<String> {
        let lines = text.trim().lines();
        lines
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    };
    lines_fit(&lines(shown), &lines(printed))
}

fn lines_fit(shown: &[String], printed: &[String]) -> bool {
    match (shown.split_first(), printed.split_first()) {
        (Some((line, rest)), found) if line == ANYTHING => {
            lines_fit(rest, printed) || found.is_some_and(|(_, later)| lines_fit(shown, later))
        }
        (Some((line, rest)), Some((found, later))) => {
            line_fits(line, found) && lines_fit(rest, later)
        }
        (None, None) => true,
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn line_fits(shown: &str, printed: &str) -> bool {
    let Some((before, after)) = shown.split_once(ANYTHING) else {
        return shown == printed;
    };
    let Some(rest) = printed.strip_prefix(before) else {
        return false;
    };
    let mut ends = rest
        .char_indices()
        .map(|(at, letter)| at + letter.len_utf8());
    ends.any(|end| line_fits(after, rest.split_at(end).1))
}
