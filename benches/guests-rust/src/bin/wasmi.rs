//! An interpreter in the machine: `guests/queens.c`, compiled to WebAssembly, `work` times in wasmi.
//!
//! `data/queens.wasm` is made by `data/build.sh`.
#![no_std]
#![no_main]

use guests_rust::program;
use wasmi::{Engine, Linker, Module, Store};

program!(run);

fn run(work: u64) -> u64 {
    let engine = Engine::default();
    let module =
        Module::new(&engine, include_bytes!("../../data/queens.wasm")).expect("a well-formed module");
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine)
        .instantiate_and_start(&mut store, &module)
        .expect("it imports nothing");
    let run = instance
        .get_typed_func::<u64, u64>(&store, "run")
        .expect("it exports the kernel");
    run.call(&mut store, work).expect("it does not trap")
}
