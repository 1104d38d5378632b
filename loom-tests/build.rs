//! Refuses to build where the models would see nothing.

fn main() {
    println!("cargo::rerun-if-env-changed=RUSTFLAGS");
    for cfg in ["CARGO_CFG_LOOM", "CARGO_CFG_CROSSBEAM_LOOM"] {
        println!("cargo::rerun-if-env-changed={cfg}");
        assert!(
            std::env::var_os(cfg).is_some(),
            "the models need `--cfg loom --cfg crossbeam_loom`, which loom-tests/.cargo/config.toml sets: run cargo in \
             loom-tests, and without RUSTFLAGS, which would hide that file's"
        );
    }
}
