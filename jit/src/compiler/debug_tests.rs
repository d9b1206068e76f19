#[test]
fn dump() {
    let Ok(path) = std::env::var("DUMP") else { return };
    let elf = std::fs::read(path).unwrap();
    let program = crate::Program::load(&elf, crate::machine::machine(1).unwrap()).unwrap();
    let text = super::text_of(&program);
    let survey = super::survey(&program);
    println!("{survey:x?}");
    for region in super::plan::whole_program(text, &survey) {
        println!("region {:#x} {}", region.entry, region.len());
        for (i, b) in region.blocks.iter().enumerate() { println!("  {i}: {:#x} gas {} {:x?}", b.start, b.gas, b.ending); }
    }
}
#[test]
fn code() {
    let Ok(path) = std::env::var("DUMP") else { return };
    let elf = std::fs::read(path).unwrap();
    let program = crate::Program::load(&elf, crate::machine::machine(1).unwrap()).unwrap();
    let mut options = crate::runtime::native::options();
    options.verify = true;
    let batch = super::compile_program(&program, &super::survey(&program), &options).unwrap();
    for f in batch.functions() { println!("{:#x} at {:#x}", f.entry, f.offset); }
    std::fs::write("/tmp/q/code.bin", batch.bytes()).unwrap();
}
