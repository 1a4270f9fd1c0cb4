//! Compiles the protocol's `.proto` files without `protoc`: messages always, the gRPC services with
//! the feature `transport`.
//!
//! The descriptor set is written as protox encodes it, not through `prost_types`, which would drop
//! the custom field options that `aims::kind` reads.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=aimslog");
    println!("cargo::rerun-if-changed=rules");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let transport = env::var_os("CARGO_FEATURE_TRANSPORT").is_some();

    list_rules(&out)?;
    let files = collect(Path::new("aimslog"), "proto")?;

    let mut compiler = protox::Compiler::new(["."])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(&files)?;
    let with_comments = compiler.file_descriptor_set();
    list_comments(&out, &with_comments)?;
    compiler.include_source_info(false);
    fs::write(
        out.join("aimslog.binpb"),
        compiler.encode_file_descriptor_set(),
    )?;

    tonic_prost_build::configure()
        .build_client(transport)
        .build_server(transport)
        // `pb` writes one that shows no secret.
        .skip_debug([".aimslog.raft.v1.GetLedgerKeysResponse"])
        .compile_fds(with_comments)?;
    Ok(())
}

/// Writes the table of the rule bundle's files: path below `rules/` and text, in the order of the paths.
fn list_rules(out: &Path) -> Result<(), Box<dyn Error>> {
    let root = Path::new("rules");
    let mut table = String::from("static FILES: &[File] = &[\n");
    for file in collect(root, "toml")? {
        let name = text(file.strip_prefix(root)?)?;
        let path = fs::canonicalize(&file)?;
        let path = text(&path)?;
        writeln!(table, "({name:?}, include_str!({path:?})),")?;
    }
    table.push_str("];\n");
    fs::write(out.join("rule_files.rs"), table)?;
    Ok(())
}

fn text(path: &Path) -> Result<&str, Box<dyn Error>> {
    let text = path.to_str();
    text.ok_or_else(|| format!("{} is not UTF-8", path.display()).into())
}

/// Writes the table of what the proto files say about the messages of the evidence package, their
/// fields and their enum values: full name and text, sorted by name. It stands beside the descriptors,
/// not in them, so that the digest of the rules covers no comment.
fn list_comments(
    out: &Path,
    descriptors: &prost_types::FileDescriptorSet,
) -> Result<(), Box<dyn Error>> {
    let mut comments = BTreeMap::new();
    let evidence =
        |file: &&prost_types::FileDescriptorProto| file.package() == "aimslog.evidence.v1";
    for file in descriptors.file.iter().filter(evidence) {
        let Some(info) = &file.source_code_info else {
            continue;
        };
        for location in &info.location {
            let text = location.leading_comments().split_whitespace();
            let text = text.collect::<Vec<_>>().join(" ");
            if let Some(name) = described(file, &location.path).filter(|_| !text.is_empty()) {
                comments.insert(format!("{}.{name}", file.package()), text);
            }
        }
    }
    let mut table = String::from("static COMMENTS: &[(&str, &str)] = &[\n");
    for (name, text) in comments {
        writeln!(table, "({name:?}, {text:?}),")?;
    }
    table.push_str("];\n");
    fs::write(out.join("comments.rs"), table)?;
    Ok(())
}

/// The name, without the package, of the message, field or enum value at this path of a file; the
/// numbers are those of the fields of `FileDescriptorProto`, and messages are not nested.
fn described(file: &prost_types::FileDescriptorProto, path: &[i32]) -> Option<String> {
    let at = |index: &i32| usize::try_from(*index).ok();
    match path {
        [4, message] => Some(file.message_type.get(at(message)?)?.name().to_owned()),
        [4, message, 2, field] => {
            let message = file.message_type.get(at(message)?)?;
            let field = message.field.get(at(field)?)?;
            Some(format!("{}.{}", message.name(), field.name()))
        }
        [5, names, 2, value] => {
            let names = file.enum_type.get(at(names)?)?;
            Some(names.value.get(at(value)?)?.name().to_owned())
        }
        _ => None,
    }
}

/// All files of a folder with this extension, sorted: the order of directories differs between file
/// systems.
fn collect(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(collect(&path, extension)?);
        } else if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
