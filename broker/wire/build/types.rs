//! Field types: their Rust types, defaults, names and least encoded sizes.

use crate::Failure;
use crate::schema::{Field, Spec};
use crate::versions::Versions;

/// A field's type, without its nullability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    Bool,
    /// A fixed-size number: its Rust type, which is also the name of the codec's method.
    Number(&'static str),
    Uuid,
    String,
    Bytes,
    Records,
    Struct(String),
    Array(Box<Type>),
}

impl Type {
    pub fn parse(name: &str) -> Self {
        match name {
            "bool" => Self::Bool,
            "int8" => Self::Number("i8"),
            "int16" => Self::Number("i16"),
            "int32" => Self::Number("i32"),
            "int64" => Self::Number("i64"),
            "uint16" => Self::Number("u16"),
            "uint32" => Self::Number("u32"),
            "float64" => Self::Number("f64"),
            "uuid" => Self::Uuid,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            "records" => Self::Records,
            other => match other.strip_prefix("[]") {
                Some(element) => Self::Array(Box::new(Self::parse(element))),
                None => Self::Struct(other.to_owned()),
            },
        }
    }

    pub fn rust(&self) -> String {
        match self {
            Self::Bool => "bool".to_owned(),
            Self::Number(name) => (*name).to_owned(),
            Self::Uuid => "Uuid".to_owned(),
            Self::String => "String".to_owned(),
            Self::Bytes => "Bytes".to_owned(),
            Self::Records => "Records".to_owned(),
            Self::Struct(name) => name.clone(),
            Self::Array(element) => format!("Vec<{}>", element.rust()),
        }
    }

    /// The fewest bytes that a value of this type takes in any of the given versions of `spec`.
    pub fn least_size(&self, spec: &Spec, versions: Versions) -> usize {
        let versions = versions.intersect(spec.valid_versions);
        (versions.low..=versions.high)
            .map(|version| self.size_at(spec, version, spec.flexible_versions))
            .min()
            .unwrap_or(0)
    }

    fn size_at(&self, spec: &Spec, version: i16, flexible: Versions) -> usize {
        let flexible_here = flexible.contains(version);
        match self {
            Self::Bool | Self::Number("i8") => 1,
            Self::Number("i16" | "u16") => 2,
            Self::Number("i32" | "u32") => 4,
            Self::Number(_) => 8,
            Self::Uuid => 16,
            Self::String if !flexible_here => 2,
            Self::Bytes | Self::Records | Self::Array(_) if !flexible_here => 4,
            Self::String | Self::Bytes | Self::Records | Self::Array(_) => 1,
            Self::Struct(name) => {
                let fields = spec.struct_fields(name).unwrap_or(&[]);
                let mandatory = fields.iter().filter(|field| field.is_positional(version));
                let sum: usize = mandatory
                    .map(|field| field.least_size_at(spec, version, flexible))
                    .sum();
                sum + usize::from(flexible_here)
            }
        }
    }
}

impl Field {
    pub fn parsed_type(&self) -> Type {
        Type::parse(&self.type_name)
    }

    pub fn is_nullable(&self) -> bool {
        !self.nullable_versions.is_empty()
    }

    /// Whether the field has its own place in this version, rather than a tag or none.
    fn is_positional(&self, version: i16) -> bool {
        self.versions.contains(version) && !self.tagged_versions.contains(version)
    }

    fn least_size_at(&self, spec: &Spec, version: i16, flexible: Versions) -> usize {
        let flexible = self.flexible_versions.unwrap_or(flexible);
        match self.parsed_type() {
            Type::Struct(_) if self.nullable_versions.contains(version) => 1,
            other => other.size_at(spec, version, flexible),
        }
    }

    pub fn rust_type(&self) -> String {
        let plain = self.parsed_type().rust();
        if self.is_nullable() {
            format!("Option<{plain}>")
        } else {
            plain
        }
    }

    pub fn rust_name(&self) -> String {
        let name = snake_case(&self.name);
        match name.as_str() {
            "type" | "match" | "loop" | "move" | "ref" | "self" | "use" | "where" => {
                format!("r#{name}")
            }
            _ => name,
        }
    }

    /// The Rust expression of the field's default value.
    pub fn default_value(&self) -> Result<String, Failure> {
        let kind = self.parsed_type();
        let text = self.default.as_deref();
        if text == Some("null") {
            return match self.is_nullable() {
                true => Ok("None".to_owned()),
                false => Err(format!("{}: a default of null, but not nullable", self.name).into()),
            };
        }
        let plain = match (&kind, text.filter(|text| !text.is_empty())) {
            (Type::Bool, text) => text.unwrap_or("false").to_owned(),
            (Type::Number("f64"), text) => format!("{}f64", text.unwrap_or("0")),
            (Type::Number(name), text) => format!("{}{name}", text.unwrap_or("0")),
            (Type::String, Some(text)) => format!("{text:?}.to_owned()"),
            (Type::Uuid, None) => "Uuid::nil()".to_owned(),
            (Type::String, None) => "String::new()".to_owned(),
            (Type::Array(element), None) => format!("Vec::<{}>::new()", element.rust()),
            (Type::Bytes | Type::Records, None) => format!("{}::new()", kind.rust()),
            (Type::Struct(name), None) => format!("{name}::default()"),
            (_, Some(text)) => {
                return Err(format!("{}: default {text:?} is not supported", self.name).into());
            }
        };
        Ok(if self.is_nullable() {
            format!("Some({plain})")
        } else {
            plain
        })
    }
}

/// `TopicIdPartition` becomes `topic_id_partition`.
pub fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (index, letter) in letters.iter().enumerate() {
        let after_word = index > 0 && !letters[index - 1].is_uppercase();
        let ends_acronym = index > 0
            && letters
                .get(index + 1)
                .is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && (after_word || ends_acronym) {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
