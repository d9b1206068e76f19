//! Wasmtime: Cranelift, with and without fuel. Guard pages instead of bounds checks, as it comes.
//!
//! clang 19 knows no wide arithmetic for WebAssembly, so 128-bit products (`uint256`) are four multiplications here.

use std::path::Path;

use millrace_benches::host::cpu_time;
use millrace_benches::programs::Program;
use millrace_benches::toolchain;
use wasmtime::{Config, Engine, Instance, Module, OptLevel, Store};

use super::{Prepared, Run};

fn prepare(program: &Program, directory: &Path, fuel: bool) -> Prepared {
    let source = toolchain::c_sources().join(format!("{}.c", program.name));
    let file = directory.join(format!("{}.wasm", program.name));
    toolchain::clang(
        &[source],
        "--target=wasm32 -mbulk-memory -msign-ext -mmutable-globals -mnontrapping-fptoint -Wl,--no-entry",
        &file,
    );
    let mut config = Config::new();
    config.cranelift_opt_level(OptLevel::Speed).consume_fuel(fuel);
    let engine = Engine::new(&config).expect("a configuration of this build");
    let bytes = std::fs::read(&file).expect("the linker's output is there");
    let module = Module::new(&engine, bytes).expect("a well-formed module");
    Box::new(move |work| {
        let mut store = Store::new(&engine, ());
        if fuel {
            store.set_fuel(u64::MAX).expect("fuel is on");
        }
        let instance = Instance::new(&mut store, &module, &[]).expect("it imports nothing");
        let run = instance
            .get_typed_func::<u64, u64>(&mut store, "run")
            .expect("it exports the kernel");
        let start = cpu_time();
        let result = run.call(&mut store, work).expect("it does not trap");
        Run::new(cpu_time().saturating_sub(start), result)
    })
}

pub fn unmetered(program: &Program, directory: &Path) -> Prepared {
    prepare(program, directory, false)
}

pub fn metered(program: &Program, directory: &Path) -> Prepared {
    prepare(program, directory, true)
}
