//! What the table says of one config: the shape of its rows.

/// A config's type, as Kafka names it. Numbers are those of the DescribeConfigs response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigType {
    /// `true` or `false`, in any case.
    Boolean = 1,
    /// Text.
    String = 2,
    /// A signed 32-bit number.
    Int = 3,
    /// A signed 16-bit number.
    Short = 4,
    /// A signed 64-bit number.
    Long = 5,
    /// A 64-bit floating-point number.
    Double = 6,
    /// Texts separated by commas.
    List = 7,
    /// Text that is never shown.
    Password = 9,
}

impl ConfigType {
    /// The type's number in a DescribeConfigs response (KIP-569).
    pub fn wire_id(self) -> i8 {
        self as i8
    }

    /// Kafka's name of the type, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Int => "int",
            Self::Short => "short",
            Self::Long => "long",
            Self::Double => "double",
            Self::List => "list",
            Self::Password => "password",
        }
    }
}

/// How much a config matters to most users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Importance {
    /// Worth a look by everyone.
    High,
    /// Worth a look when tuning.
    Medium,
    /// Rarely changed.
    Low,
}

impl Importance {
    /// Kafka's name of the importance, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

/// When a config may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// Only at start.
    ReadOnly,
    /// While the broker runs, for one broker or as the default of all (KIP-226).
    Dynamic,
}

/// Which values are valid, beyond what the type demands.
#[derive(Debug, Clone, Copy)]
pub enum Valid {
    /// Every value of the type.
    Any,
    /// A number from this one on.
    AtLeast(i64),
    /// A number in this range, ends included.
    Between(i64, i64),
    /// A number in this range, ends included, or exactly the third one.
    BetweenOr(i64, i64, i64),
    /// A floating-point number in this range, ends included.
    Ratio(f64, f64),
    /// One of these texts; for a list, each of its entries.
    OneOf(&'static [&'static str]),
    /// Whatever the function accepts. The text says what that is.
    Check(&'static str, fn(&str) -> Result<(), String>),
}

/// One config: a row of the table.
#[derive(Debug, Clone, Copy)]
pub struct ConfigDef {
    /// Kafka's name, or ours with the prefix `fjord.`.
    pub name: &'static str,
    /// Type of the value.
    pub config_type: ConfigType,
    /// The value where nothing sets one; `None` where there is no value then.
    pub default: Option<&'static str>,
    /// Valid values.
    pub valid: Valid,
    /// How much the config matters.
    pub importance: Importance,
    /// When it may be changed.
    pub update: Update,
    /// Configs that decide the value, the strongest first. For a topic config these are the broker
    /// configs that its default comes from; for a broker config they include the config itself.
    pub synonyms: &'static [&'static str],
    /// What it does, with units.
    pub documentation: &'static str,
}

impl ConfigDef {
    /// A row of medium importance that is read at start; the methods below change that.
    pub(super) const fn new(
        name: &'static str,
        config_type: ConfigType,
        default: Option<&'static str>,
        valid: Valid,
        documentation: &'static str,
    ) -> Self {
        Self {
            name,
            config_type,
            default,
            valid,
            importance: Importance::Medium,
            update: Update::ReadOnly,
            synonyms: &[],
            documentation,
        }
    }

    pub(super) const fn high(mut self) -> Self {
        self.importance = Importance::High;
        self
    }

    pub(super) const fn low(mut self) -> Self {
        self.importance = Importance::Low;
        self
    }

    pub(super) const fn dynamic(mut self) -> Self {
        self.update = Update::Dynamic;
        self
    }

    pub(super) const fn synonyms(mut self, synonyms: &'static [&'static str]) -> Self {
        self.synonyms = synonyms;
        self
    }

    /// Whether the value must not be shown to anyone.
    pub fn is_sensitive(&self) -> bool {
        self.config_type == ConfigType::Password
    }

    /// The valid values as text, in the notation of Kafka's documentation; empty if all are valid.
    pub fn valid_values(&self) -> String {
        match self.valid {
            Valid::Any => String::new(),
            Valid::AtLeast(low) => format!("[{low},...]"),
            Valid::Between(low, high) => format!("[{low},...,{high}]"),
            Valid::BetweenOr(low, high, other) => format!("[{low},...,{high}] or {other}"),
            Valid::Ratio(low, high) => format!("[{low},...,{high}]"),
            Valid::OneOf(texts) => format!("[{}]", texts.join(", ")),
            Valid::Check(text, _) => text.to_owned(),
        }
    }
}
