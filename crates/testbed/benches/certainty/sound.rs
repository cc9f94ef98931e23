//! Why each rule is sound, from its own description.

use std::fmt::Write as _;

use verdict::finding::Rule;

pub(crate) fn write(text: &mut String) {
    text.push_str(
        "## Why each rule is sound\n\nA rule cannot accuse a right balancer: by construction, or with a probability that it names.\n\n\
         | rule | why it is sound |\n|---|---|\n",
    );
    for rule in Rule::ALL {
        let _ = writeln!(text, "| {} | {} |", rule.id(), rule.describe().sound);
    }
    text.push('\n');
}
