//! What the grammar takes and refuses.

use super::read;
use crate::node::Node;

#[test]
fn shapes() {
    let is = |text: &str, shape: &dyn Fn(&Node) -> bool| {
        let node = read(text);
        assert!(node.as_ref().is_some_and(shape), "{text}: {node:?}");
    };
    is("58,500", &|node| matches!(node, Node::Number(..)));
    is("3, 5, 7", &|node| matches!(node, Node::List(items) if items.len() == 3));
    is("(1,234)", &|node| matches!(node, Node::Bracket('(', ')', items) if items.len() == 2));
    is(r"\left(\frac{3}{5},\frac{8}{3}\right]", &|node| matches!(node, Node::Bracket('(', ']', _)));
    is(r"(0,9) \cup (9,36)", &|node| matches!(node, Node::Union(parts) if parts.len() == 2));
    is(
        r"\begin{pmatrix} -1 & 0 \\ 0 & -1 \end{pmatrix}",
        &|node| matches!(node, Node::Matrix(rows) if rows.len() == 2 && rows[0].len() == 2),
    );
    is(r"\text{(E)}", &|node| *node == Node::Text("e".to_owned()));
    is("Monday", &|node| *node == Node::Text("monday".to_owned()));
    is(r"15\mbox{ cm}^2", &|node| matches!(node, Node::Unit(_, unit) if unit == "centimeter ^2"));
    is(
        "15 square centimeters",
        &|node| matches!(node, Node::Unit(_, unit) if unit == "centimeter ^2"),
    );
    is(
        r"\frac{270}7\text{ degrees}",
        &|node| matches!(node, Node::Unit(_, unit) if unit == "degree"),
    );
    is(r"30^\circ", &|node| matches!(node, Node::Unit(_, unit) if unit == "degree"));
    is("4210_{5}", &|node| matches!(node, Node::Based(_, 5, _)));
    is(r"x \in [-2,7]", &|node| matches!(node, Node::Chain(..)));
    is("1\\frac{4}{5}", &|node| matches!(node, Node::Number(..)));
    is("2x + 3 = y", &|node| matches!(node, Node::Chain(..)));
}

#[test]
fn what_is_no_mathematics_is_refused() {
    let long = "1+".repeat(1500) + "1";
    let deep = "(".repeat(200) + "1" + &")".repeat(200);
    for text in [
        "",
        "1 2",
        "(1",
        "1)",
        "x^",
        r"\frac{1}",
        "1 +",
        "*2",
        r"\foo{1}",
        "{1",
        "2 = ",
        &long,
        &deep,
    ] {
        assert_eq!(read(text), None, "{text}");
    }
}
