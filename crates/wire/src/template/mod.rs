//! Topic templates: which topics are telemetry, and what their levels say (R1.8).
//!
//! A template is a topic whose levels are literals or placeholders, `devices/{id}/telemetry`:
//!
//! | placeholder | names |
//! |---|---|
//! | `{id}`, `{device}`, `{device_id}` | the device |
//! | `{metric}`, `{measurement}` | the metric |
//! | `{tenant}` | the tenant; the credential's must agree |
//! | `{class}` | the class of the message; `backfill` selects the backfill lane |
//! | any other, such as `{site}` | a fact about the device |
//!
//! **Literals win, for good.** Level by level, a literal that some template has at this place takes the
//! topic, and placeholders at the same place are not tried any more. So with the shipped templates
//! `devices/x/a/b/c` is no telemetry, although `{org}/{site}/{device_type}/{device_id}/{measurement}` has
//! five levels too: `devices` can be no org. The order of templates therefore never matters.
//!
//! A level that a placeholder takes must be a valid id; else the topic does not match. Topics that
//! begin with `$` never match.

mod parse;

pub use parse::TemplateError;

use record::{DeviceId, Encoding, Lane, MetricName, TenantId, TimeUnit};

/// What a placeholder stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Role {
    Device,
    Metric,
    Tenant,
    Class,
    Fact(Box<str>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    Literal(Box<str>),
    Placeholder(Role),
}

#[derive(Clone, Debug)]
struct Template {
    text: Box<str>,
    levels: Box<[Level]>,
    has_facts: bool,
    time_unit: Option<TimeUnit>,
}

/// A place in the tree of all templates.
#[derive(Clone, Debug, Default)]
struct Node {
    literals: Vec<(Box<str>, usize)>,
    placeholder: Option<usize>,
    /// The template that ends here.
    end: Option<usize>,
}

/// The compiled templates of a listener.
#[derive(Clone, Debug)]
pub struct Templates {
    templates: Vec<Template>,
    nodes: Vec<Node>,
}

/// What a topic says.
#[derive(Clone, Copy, Debug)]
pub struct Match<'t, 'a> {
    /// The device; a valid [`DeviceId`].
    pub device: Option<&'a str>,
    /// The metric; a valid [`MetricName`].
    pub metric: Option<&'a str>,
    /// The tenant; a valid [`TenantId`]. The credential decides, this must agree.
    pub tenant: Option<&'a str>,
    /// The class of the message.
    pub class: Option<&'a str>,
    template: &'t Template,
    topic: &'a str,
}

impl Templates {
    /// The templates used when the configuration names none.
    pub const SHIPPED: [&'static str; 5] = [
        "{org}/{site}/{device_type}/{device_id}/{measurement}",
        "devices/{id}/telemetry",
        "assets/{id}/telemetry",
        "fleet/{id}/{metric}",
        "sensors/{metric}",
    ];

    /// The templates used when the configuration names none.
    #[must_use]
    pub fn shipped() -> Self {
        Self::compile(&Self::SHIPPED).expect("the shipped templates are valid")
    }

    /// Checks templates and makes them ready for matching. None at all is fine: then no topic is telemetry.
    ///
    /// # Errors
    /// [`TemplateError`] names the template, what is wrong with it and what to do.
    pub fn compile<S: AsRef<str>>(texts: &[S]) -> Result<Self, TemplateError> {
        let mut compiled = Self { templates: Vec::new(), nodes: vec![Node::default()] };
        for text in texts {
            let (text, levels) = (text.as_ref().into(), parse::levels(text.as_ref())?);
            let has_facts = levels.iter().any(|level| matches!(level, Level::Placeholder(Role::Fact(_))));
            compiled.add(Template { text, levels, has_facts, time_unit: None })?;
        }
        Ok(compiled)
    }

    /// Says in which unit the devices of a template send their times, where their magnitude would tell it wrongly.
    ///
    /// # Errors
    /// [`TemplateError::Unknown`] when `template` is none of these, as written.
    pub fn set_time_unit(&mut self, template: &str, unit: TimeUnit) -> Result<(), TemplateError> {
        let known = self.templates.iter_mut().find(|known| *known.text == *template);
        let known = known.ok_or_else(|| TemplateError::Unknown { template: template.to_owned() })?;
        known.time_unit = Some(unit);
        Ok(())
    }

    fn add(&mut self, template: Template) -> Result<(), TemplateError> {
        let mut node = 0;
        for level in &template.levels {
            let known = match level {
                Level::Literal(text) => self.nodes[node].literal(text),
                Level::Placeholder(_) => self.nodes[node].placeholder,
            };
            node = known.unwrap_or_else(|| {
                let new = self.nodes.len();
                self.nodes.push(Node::default());
                match level {
                    Level::Literal(text) => self.nodes[node].literals.push((text.clone(), new)),
                    Level::Placeholder(_) => self.nodes[node].placeholder = Some(new),
                }
                new
            });
        }
        if let Some(other) = self.nodes[node].end {
            return Err(TemplateError::Same {
                template: template.text.into(),
                other: self.templates[other].text.to_string(),
            });
        }
        self.nodes[node].end = Some(self.templates.len());
        self.templates.push(template);
        Ok(())
    }

    /// What `topic` says, if a template matches it. Allocates nothing.
    #[must_use]
    pub fn matching<'t, 'a>(&'t self, topic: &'a str) -> Option<Match<'t, 'a>> {
        if topic.starts_with('$') {
            return None;
        }
        let mut node = &self.nodes[0];
        for level in levels_of(topic) {
            node = &self.nodes[node.literal(level).or(node.placeholder)?];
        }
        let template = &self.templates[node.end?];
        let mut found = Match { device: None, metric: None, tenant: None, class: None, template, topic };
        for (level, text) in template.levels.iter().zip(levels_of(topic)) {
            let Level::Placeholder(role) = level else { continue };
            match role {
                Role::Device => found.device = Some(text).filter(|t| DeviceId::check(t).is_ok()),
                Role::Metric => found.metric = Some(text).filter(|t| is_name(t)),
                Role::Tenant => found.tenant = Some(text).filter(|t| TenantId::check(t).is_ok()),
                Role::Class => found.class = Some(text).filter(|t| is_name(t)),
                Role::Fact(_) if is_name(text) => continue,
                Role::Fact(_) => return None,
            }
            let taken = match role {
                Role::Device => found.device,
                Role::Metric => found.metric,
                Role::Tenant => found.tenant,
                Role::Class | Role::Fact(_) => found.class,
            };
            taken?;
        }
        Some(found)
    }

    /// The templates as they were written, in their order.
    pub fn texts(&self) -> impl ExactSizeIterator<Item = &str> {
        self.templates.iter().map(|template| &*template.text)
    }
}

/// The levels of a topic. They are short, for which a plain walk is twice as quick as `split`.
fn levels_of(topic: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(topic);
    std::iter::from_fn(move || {
        let text = rest?;
        let (level, after) = match text.bytes().position(|byte| byte == b'/') {
            Some(end) => (&text[..end], Some(&text[end + 1..])),
            None => (text, None),
        };
        rest = after;
        Some(level)
    })
}

/// Metrics, classes and facts stand in one level, so the rules of a device id hold, too.
fn is_name(text: &str) -> bool {
    MetricName::check(text).is_ok() && !text.contains(['+', '#'])
}

impl Node {
    fn literal(&self, text: &str) -> Option<usize> {
        self.literals.iter().find(|(literal, _)| **literal == *text).map(|&(_, node)| node)
    }
}

impl<'t, 'a> Match<'t, 'a> {
    /// The template that matched, as written.
    #[must_use]
    pub fn template(&self) -> &'t str {
        &self.template.text
    }

    /// The unit of the numeric times in a payload of this topic; `None`: as the encoding has it. Line protocol has
    /// one of its own.
    #[must_use]
    pub fn time_unit(&self, encoding: Encoding) -> Option<TimeUnit> {
        self.template.time_unit.filter(|_| matches!(encoding, Encoding::Json | Encoding::Ndjson))
    }

    /// The lane that the topic's class asks for; `None` when it has none, and the age of the readings decides.
    #[must_use]
    pub fn lane(&self) -> Option<Lane> {
        self.class.map(|class| if class == "backfill" { Lane::Backfill } else { Lane::Live })
    }

    /// Whether the topic says anything else.
    #[must_use]
    pub fn has_facts(&self) -> bool {
        self.template.has_facts
    }

    /// What else the topic says, name and value, such as `("site", "hamburg")`.
    pub fn facts(&self) -> impl Iterator<Item = (&'t str, &'a str)> + use<'t, 'a> {
        self.template.levels.iter().zip(levels_of(self.topic)).filter_map(|(level, text)| match level {
            Level::Placeholder(Role::Fact(name)) => Some((&**name, text)),
            _ => None,
        })
    }
}
