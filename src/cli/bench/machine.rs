//! Which machine it is that figures were measured on.

use serde_json::{Value, json};

/// CPU, cores and memory, as far as the system tells.
pub fn describe() -> Value {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    json!({
        "cpu": cpu(&read("/proc/cpuinfo")),
        "cores": cores,
        "memory_gib": memory_gib(&read("/proc/meminfo")),
    })
}

/// The model as `/proc/cpuinfo` names it; the architecture if it does not.
fn cpu(info: &str) -> &str {
    ["model name", "Model", "cpu model"]
        .iter()
        .find_map(|key| value(info, key))
        .unwrap_or(std::env::consts::ARCH)
}

/// Memory in GiB, to a tenth, of what `/proc/meminfo` states in kB.
fn memory_gib(info: &str) -> f64 {
    let kib: f64 = value(info, "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0);
    (kib / 1024.0 / 1024.0 * 10.0).round() / 10.0
}

fn value<'a>(info: &'a str, key: &str) -> Option<&'a str> {
    info.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_writes() {
        let info = "processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\nflags : a b\n";
        assert_eq!(cpu(info), "Some CPU @ 3 GHz");
        assert_eq!(cpu(""), std::env::consts::ARCH);
        assert!((memory_gib("MemTotal:       16265484 kB\nMemFree: 1 kB\n") - 15.5).abs() < 0.01);
        assert!(memory_gib("").abs() < f64::EPSILON);
    }
}
