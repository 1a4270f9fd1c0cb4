//! Compiles the protocol's `.proto` files without `protoc`: messages always, the gRPC services with
//! the feature `transport`.
//!
//! The descriptor set is written as protox encodes it, not through `prost_types`, which would drop
//! the custom field options that `aims::kind` reads.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=aimslog");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let transport = env::var_os("CARGO_FEATURE_TRANSPORT").is_some();

    let mut files = Vec::new();
    collect(Path::new("aimslog"), &mut files)?;
    // Directory order differs between file systems; the descriptor set must not.
    files.sort();

    let mut compiler = protox::Compiler::new(["."])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(&files)?;
    let with_comments = compiler.file_descriptor_set();
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

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            files.push(path);
        }
    }
    Ok(())
}
