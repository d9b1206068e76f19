//! `qemu-riscv64` as an independent implementation of the instruction set.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use crate::tools;

/// What `ebreak` comes to on Linux.
pub const SIGTRAP: i32 = 5;

/// Extensions that the machine has in its newest version, on; all others that qemu 7.2 can switch, off. `xventanacondops`
/// stands for Zicond.
const QEMU_CPU: &str = "rv64,m=true,a=true,c=true,zba=true,zbb=true,zbc=true,zbs=true,Zifencei=true,\
    Zihintpause=true,xventanacondops=true,f=true,d=true,Zicsr=true,v=false,h=false,Zfh=false,Zfhmin=false,\
    Zve32f=false,Zve64f=false,zbkb=false,zbkc=false,zbkx=false,zk=false,zkn=false,zknd=false,zkne=false,zknh=false,\
    zkr=false,zks=false,zksed=false,zksh=false,zkt=false,zdinx=false,zfinx=false,zhinx=false,zhinxmin=false,\
    svinval=false,svnapot=false,svpbmt=false,sstc=false,sscofpmf=false,x-j=false";

/// What a run under qemu came to.
#[derive(Debug)]
pub struct There {
    /// What it wrote to descriptor 1.
    pub output: Vec<u8>,
    /// Exit status, if it exited.
    pub status: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// What it wrote to descriptor 2.
    pub messages: String,
}

/// Runs `elf` under qemu.
///
/// # Panics
/// If qemu is not installed or does not start.
#[must_use]
pub fn run_qemu(elf: &[u8]) -> There {
    let qemu = tools::find("qemu-riscv64", "qemu-user");
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(elf).expect("writing a temporary file");
    let path = file.into_temp_path();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).expect("permissions of our own file");
    let result = Command::new(qemu)
        .args(["-cpu", QEMU_CPU])
        .arg(&path)
        .output()
        .expect("qemu starts");
    There {
        output: result.stdout,
        status: result.status.code(),
        signal: result.status.signal(),
        messages: String::from_utf8_lossy(&result.stderr).into_owned(),
    }
}
