//! PURE. The lines that go inside `http { … }` of an `nginx.conf`, or as a file into `conf.d`.

use std::fmt::Write;

use crate::topology::Topology;

/// An upstream named `uuid` of all backends and a server that balances `/uuid` over them, as the original program ships it.
pub fn lines(topology: &Topology) -> String {
    let mut servers = String::new();
    for generator in &topology.generators {
        writeln!(servers, "    server {};", topology.address(*generator)).expect("a string takes all");
    }
    format!(
        "upstream uuid {{\n{servers}}}\n\n\
         server {{\n    listen 80;\n\n    location /uuid {{\n        proxy_pass http://uuid/;\n    }}\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Ports;

    #[test]
    fn the_file_that_is_shipped_is_what_is_written_for_the_default_fleet() {
        let (generators, _) = Ports::of_the_original().generators();
        let topology = Topology { host: "localhost".parse().unwrap(), generators };
        let shipped: String = include_str!("../../load_balancer.conf")
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(shipped.trim_start(), lines(&topology));
    }
}
