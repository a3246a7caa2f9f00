//! The exact solver: which values a set of numbers reaches, in how many ways, and each way by its index.
//!
//! Two expressions are one solution when they differ only in the order of the operands of `+` and `*`, or in which
//! of two equal numbers they use; `(a + b) + c` and `a + (b + c)` are two. The table counts solutions per part of
//! the numbers and value, so one of them can be drawn uniformly without listing them all.

/// One of the four operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Sum.
    Add,
    /// Difference; only of a larger and a smaller number.
    Subtract,
    /// Product.
    Multiply,
    /// Quotient; only without remainder.
    Divide,
}

impl Operation {
    /// All four.
    pub const ALL: [Operation; 4] =
        [Operation::Add, Operation::Subtract, Operation::Multiply, Operation::Divide];

    /// How it is written.
    pub fn symbol(self) -> char {
        match self {
            Operation::Add => '+',
            Operation::Subtract => '-',
            Operation::Multiply => '*',
            Operation::Divide => '/',
        }
    }

    /// Whether the order of the operands does not matter.
    pub fn commutes(self) -> bool {
        matches!(self, Operation::Add | Operation::Multiply)
    }

    /// The result where it is allowed: a positive whole number not above `bound`.
    pub fn apply(self, left: u32, right: u32, bound: u32) -> Option<u32> {
        let result = match self {
            Operation::Add => left.checked_add(right),
            Operation::Subtract => left.checked_sub(right),
            Operation::Multiply => left.checked_mul(right),
            Operation::Divide if right > 0 && left.is_multiple_of(right) => Some(left / right),
            Operation::Divide => None,
        };
        result.filter(|&value| value >= 1 && value <= bound)
    }
}

/// An expression with its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expression {
    /// One of the given numbers.
    Number(u32),
    /// An operation on two expressions.
    Binary {
        /// The operation.
        operation: Operation,
        /// Its left and right operand.
        operands: Box<(Expression, Expression)>,
        /// Its result.
        value: u32,
    },
}

impl Expression {
    /// Its value.
    pub fn value(&self) -> u32 {
        match self {
            Expression::Number(value) | Expression::Binary { value, .. } => *value,
        }
    }

    /// How many operations it has.
    pub fn operations(&self) -> usize {
        match self {
            Expression::Number(_) => 0,
            Expression::Binary { operands, .. } => {
                1 + operands.0.operations() + operands.1.operations()
            }
        }
    }
}

/// Set of positions in the sorted numbers, as bits.
type Mask = usize;

/// A value some numbers reach, and in how many ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reached {
    value: u32,
    ways: u64,
}

/// What every part of a set of numbers reaches.
#[derive(Clone, Debug)]
pub struct Table {
    numbers: Vec<u32>,
    operations: Vec<Operation>,
    bound: u32,
    /// By mask, ascending by value; filled for the masks that stand for their multiset.
    reached: Vec<Vec<Reached>>,
}

/// A last operation: what it joins and how many solutions end in it.
#[derive(Clone, Copy)]
struct Branch {
    operation: Operation,
    left: (Mask, Reached),
    right: (Mask, Reached),
    value: u32,
    /// Both operands come from equal numbers, have equal values and commute: pairs are unordered.
    unordered: bool,
}

impl Branch {
    fn ways(&self) -> u64 {
        let (left, right) = (self.left.1.ways, self.right.1.ways);
        if self.unordered { left * (left + 1) / 2 } else { left * right }
    }

    /// The indices of the operands in the branch's solution `index`.
    fn operands(&self, index: u64) -> (u64, u64) {
        let right = self.right.1.ways;
        if !self.unordered {
            return (index / right, index % right);
        }
        // Pairs (i, j) with i <= j, row by row: row i holds `right - i` of them.
        let (mut row, mut rest) = (0, index);
        while rest >= right - row {
            rest -= right - row;
            row += 1;
        }
        (row, row + rest)
    }
}

impl Table {
    /// Fills the table for at most six numbers in any order.
    pub fn new(numbers: &[u32], operations: &[Operation], bound: u32) -> Self {
        let mut numbers = numbers.to_vec();
        numbers.sort_unstable();
        let masks = 1 << numbers.len();
        let mut table = Self {
            numbers,
            operations: operations.to_vec(),
            bound,
            reached: vec![Vec::new(); masks],
        };
        let mut ways = vec![0_u64; bound as usize + 1];
        let mut touched = Vec::new();
        for mask in 1..masks {
            if table.standing_for(mask) == mask {
                table.reached[mask] = table.fill(mask, &mut ways, &mut touched);
            }
        }
        table
    }

    /// The values all numbers together reach, ascending.
    pub fn values(&self) -> impl Iterator<Item = u32> {
        self.reached[self.full()].iter().map(|reached| reached.value)
    }

    /// How many solutions reach `target`.
    pub fn ways(&self, target: u32) -> u64 {
        let all = &self.reached[self.full()];
        all.binary_search_by_key(&target, |reached| reached.value).map_or(0, |at| all[at].ways)
    }

    /// Solution number `index` for `target`, in a fixed order; `None` from [`Table::ways`] on.
    pub fn solution(&self, target: u32, index: u64) -> Option<Expression> {
        self.nth(self.full(), target, index)
    }

    /// Every solution for `target`, in the order of their indices.
    pub fn solutions(&self, target: u32) -> impl Iterator<Item = Expression> {
        (0..self.ways(target)).filter_map(move |index| self.solution(target, index))
    }

    fn full(&self) -> Mask {
        self.reached.len() - 1
    }

    /// The mask that stands for the same multiset of numbers: of equal numbers it has the first ones.
    fn standing_for(&self, mask: Mask) -> Mask {
        let mut standing = 0;
        let mut start = 0;
        for run in self.numbers.chunk_by(|a, b| a == b) {
            let bits = (mask >> start) & ((1 << run.len()) - 1);
            standing |= ((1 << bits.count_ones()) - 1) << start;
            start += run.len();
        }
        standing
    }

    fn fill(&self, mask: Mask, ways: &mut [u64], touched: &mut Vec<u32>) -> Vec<Reached> {
        if mask.is_power_of_two() {
            let value = self.numbers[mask.trailing_zeros() as usize];
            return vec![Reached { value, ways: 1 }];
        }
        self.branches(mask, |branch| {
            let entry = &mut ways[branch.value as usize];
            if *entry == 0 {
                touched.push(branch.value);
            }
            *entry += branch.ways();
            true
        });
        touched.sort_unstable();
        let reached =
            |value: u32| Reached { value, ways: std::mem::take(&mut ways[value as usize]) };
        touched.drain(..).map(reached).collect()
    }

    fn nth(&self, mask: Mask, value: u32, index: u64) -> Option<Expression> {
        if mask.is_power_of_two() {
            let number = self.numbers[mask.trailing_zeros() as usize];
            return (number == value && index == 0).then_some(Expression::Number(number));
        }
        let mut rest = index;
        let mut found = None;
        self.branches(mask, |branch| {
            if branch.value != value {
                return true;
            }
            if rest < branch.ways() {
                found = Some(branch);
                return false;
            }
            rest -= branch.ways();
            true
        });
        let branch = found?;
        let (left, right) = branch.operands(rest);
        let left = self.nth(branch.left.0, branch.left.1.value, left)?;
        let right = self.nth(branch.right.0, branch.right.1.value, right)?;
        let operands = Box::new((left, right));
        Some(Expression::Binary { operation: branch.operation, operands, value })
    }

    /// Every last operation that joins the numbers of `mask`, until `visit` returns false.
    fn branches(&self, mask: Mask, mut visit: impl FnMut(Branch) -> bool) {
        let mut part = (mask - 1) & mask;
        while part > 0 {
            let rest = self.standing_for(mask ^ part);
            // Each pair of multisets once, by the masks that stand for them.
            if part <= rest && self.standing_for(part) == part {
                for &left in &self.reached[part] {
                    for &right in &self.reached[rest] {
                        if part == rest && right.value < left.value {
                            continue;
                        }
                        if !self.join((part, left), (rest, right), &mut visit) {
                            return;
                        }
                    }
                }
            }
            part = (part - 1) & mask;
        }
    }

    fn join(
        &self,
        left: (Mask, Reached),
        right: (Mask, Reached),
        visit: &mut impl FnMut(Branch) -> bool,
    ) -> bool {
        let alike = left == right;
        for &operation in &self.operations {
            let unordered = alike && operation.commutes();
            if let Some(value) = operation.apply(left.1.value, right.1.value, self.bound)
                && !visit(Branch { operation, left, right, value, unordered })
            {
                return false;
            }
            // Operands of equal numbers and value are already taken in both orders by the indices.
            if !operation.commutes()
                && !alike
                && let Some(value) = operation.apply(right.1.value, left.1.value, self.bound)
                && !visit(Branch { operation, left: right, right: left, value, unordered })
            {
                return false;
            }
        }
        true
    }
}
