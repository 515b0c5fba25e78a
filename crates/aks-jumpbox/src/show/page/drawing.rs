//! The path as a drawing. Everything in it is of known length, so that it fits: names of resources stand elsewhere.

use maud::{Markup, html};
use preflight::{HopState, Node, Place, Stretch, Topology};

use super::Page;
use super::hops::{colour, hop_anchor, sentence, sign, word};

/// A node's place: the step along the path, the first lane, and how many lanes it takes.
type Seat = (Node, i32, i32, i32);

/// Which way a path leads, and its measures in pixels.
struct Grid {
    id: &'static str,
    /// From left to right, else from top to bottom.
    wide: bool,
    width: i32,
    height: i32,
    /// Between nodes along the path, and between lanes.
    step_gap: i32,
    lane_gap: i32,
}

/// A rectangle.
#[derive(Clone, Copy)]
struct Area {
    x: i32,
    y: i32,
    width: i32,
    height: i32,
}

/// Around the drawing.
const MARGIN: i32 = 12;
/// Around the nodes in a frame, and where its name and prefix stand.
const PADDING: i32 = 10;
const HEAD: i32 = 40;
/// Where the first nodes stand.
const TOP: i32 = MARGIN + HEAD;
/// Width and height of what tells a hop's state.
const BADGE: (i32, i32) = (96, 36);

/// For screens of some width.
pub fn wide(page: &Page<'_>, path: &[Stretch<'_>]) -> Markup {
    let grid = Grid { id: "wide", wide: true, width: 150, height: 56, step_gap: 150, lane_gap: 76 };
    let grid = match page.report.topology {
        Topology::PrivateLink => Grid { width: 104, step_gap: 106, ..grid },
        Topology::Managed | Topology::Isolated => grid,
    };
    draw(&grid, page, path)
}

/// For narrow screens and paper.
pub fn tall(page: &Page<'_>, path: &[Stretch<'_>]) -> Markup {
    let grid = Grid { id: "tall", wide: false, width: 116, height: 52, step_gap: 60, lane_gap: 120 };
    draw(&grid, page, path)
}

/// A line as it is drawn, for the legend.
pub fn sample(state: HopState) -> Markup {
    html! {
        svg.hop.(colour(state)) viewBox="0 0 36 10" width="36" height="10" aria-hidden="true" {
            (arrow((0, 5), (36, 5)))
        }
    }
}

/// What a node is called, in lines.
const fn label(node: Node) -> &'static [&'static str] {
    match node {
        Node::Container => &["container", "instance"],
        Node::PrivateLink => &["private link", "service"],
        Node::LoadBalancer => &["load", "balancer"],
        Node::Proxy => &["proxy VM"],
        Node::BuildVm => &["build VM"],
        Node::WayOut(_) => &["routes and", "firewall"],
        Node::Internet => &["Internet"],
    }
}

const fn seats(topology: Topology) -> &'static [Seat] {
    use Node::{BuildVm, Container, Internet, LoadBalancer, PrivateLink, Proxy, WayOut};
    match topology {
        Topology::Managed => &[(Container, 0, 0, 1), (BuildVm, 1, 0, 1), (Internet, 2, 0, 1)],
        Topology::PrivateLink => &[
            (Container, 0, 0, 1),
            (PrivateLink, 0, 1, 1),
            (LoadBalancer, 1, 1, 1),
            (Proxy, 2, 1, 1),
            (BuildVm, 3, 1, 1),
            (WayOut(Place::Build), 4, 1, 1),
            (Internet, 5, 1, 1),
        ],
        Topology::Isolated => &[
            (Container, 0, 0, 1),
            (WayOut(Place::Container), 1, 0, 1),
            (BuildVm, 0, 1, 1),
            (WayOut(Place::Build), 1, 1, 1),
            (Internet, 2, 0, 2),
        ],
    }
}

/// Frames: a name, whose prefix stands below it, and the first and the last node inside.
const fn frames(topology: Topology) -> &'static [(&'static str, Option<Place>, Node, Node)] {
    const SERVICE: &str = "service's network";
    const BUILD: &str = "build subnet";
    match topology {
        Topology::Managed => &[(SERVICE, None, Node::Container, Node::BuildVm)],
        Topology::PrivateLink => &[
            (SERVICE, None, Node::Container, Node::Container),
            (BUILD, Some(Place::Build), Node::PrivateLink, Node::BuildVm),
        ],
        Topology::Isolated => &[
            ("container subnet", Some(Place::Container), Node::Container, Node::Container),
            (BUILD, Some(Place::Build), Node::BuildVm, Node::BuildVm),
        ],
    }
}

fn draw(grid: &Grid, page: &Page<'_>, path: &[Stretch<'_>]) -> Markup {
    let topology = page.report.topology;
    let areas: Vec<_> = seats(topology).iter().map(|seat| (seat.0, grid.area(seat))).collect();
    let find = |node: Node| areas.iter().find(|(known, _)| *known == node).map(|(_, area)| *area);
    let edge = |end: fn(&Area) -> i32| areas.iter().map(|(_, area)| end(area)).max().unwrap_or(0);
    let below = grid.wide && areas.iter().any(|(_, area)| area.y > TOP);
    let foot = if below { HEAD } else { PADDING };
    let (width, height) = (edge(Area::right) + MARGIN + PADDING, edge(Area::bottom) + MARGIN + foot);
    let described = path.iter().map(sentence).collect::<Vec<_>>().join(". ");
    let (title, text) = (format!("{}-title", grid.id), format!("{}-text", grid.id));
    html! {
        svg.path.(grid.id) viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height)
            role="group" aria-labelledby=(title) aria-describedby=(text)
        {
            title id=(title) { "Path of a build in a network of the shape " (topology) }
            desc id=(text) { (described) "." }
            @for (name, place, first, last) in frames(topology) {
                @if let (Some(first), Some(last)) = (find(*first), find(*last)) {
                    (grid.frame(name, place.and_then(|place| prefix(page, place)), first, last))
                }
            }
            @for (node, area) in &areas { (self::node(*node, *area)) }
            @for (index, stretch) in path.iter().enumerate() {
                @if let (Some(from), Some(to)) = (find(stretch.hop.from), find(stretch.hop.to)) {
                    (hop(index, stretch, from, to))
                }
            }
        }
    }
}

/// The prefix of a subnet; one of IPv6 may be too long for a frame.
fn prefix(page: &Page<'_>, place: Place) -> Option<String> {
    let prefix = page.subject.network.as_ref()?.site(place)?.prefix?.to_string();
    (prefix.len() <= "255.255.255.255/32".len()).then_some(prefix)
}

fn node(node: Node, area: Area) -> Markup {
    const LINE: i32 = 16;
    let lines = label(node);
    let (x, middle) = area.centre();
    let first = middle + 5 - LINE * (i32::try_from(lines.len()).unwrap_or(1) - 1) / 2;
    html! {
        g.node {
            rect x=(area.x) y=(area.y) width=(area.width) height=(area.height) rx="6" {}
            @for (index, line) in (0..).zip(lines) { text x=(x) y=(first + index * LINE) { (line) } }
        }
    }
}

/// A line with its badge: above the line where it is level, on it where it leads down.
fn hop(index: usize, stretch: &Stretch<'_>, from: Area, to: Area) -> Markup {
    const ABOVE: i32 = BADGE.1 / 2 + 7;
    let (x, y) = from.centre();
    let level = to.y <= y && y <= to.bottom();
    let (start, end) = if level { ((from.right(), y), (to.x, y)) } else { ((x, from.bottom()), (x, to.y)) };
    let above = if level { ABOVE } else { 0 };
    let middle = (i32::midpoint(start.0, end.0), i32::midpoint(start.1, end.1) - above);
    html! {
        a.hop.(colour(stretch.state)) href={ "#" (hop_anchor(index)) } aria-label=(sentence(stretch)) {
            (arrow(start, end))
            @if stretch.state != HopState::NotAsked { (badge(stretch, middle)) }
        }
    }
}

fn badge(stretch: &Stretch<'_>, (x, y): (i32, i32)) -> Markup {
    let (width, height) = BADGE;
    let ports = ports(stretch);
    let first = if ports.is_none() { y + 4 } else { y - 3 };
    html! {
        rect.badge x=(x - width / 2) y=(y - height / 2) width=(width) height=(height) rx="5" {}
        text.state x=(x) y=(first) { (sign(stretch.state)) " " (word(stretch.state)) }
        @if let Some(ports) = ports { text.ports x=(x) y=(y + 12) { (ports) } }
    }
}

/// Two ports each with their mark where they differ, else those that have the hop's state, as far as there is room.
fn ports(stretch: &Stretch<'_>) -> Option<String> {
    let alike: Vec<_> = stretch
        .ports
        .iter()
        .filter(|(_, state)| *state == stretch.state)
        .map(|(port, _)| port.to_string())
        .collect();
    match (alike.as_slice(), stretch.ports.as_slice()) {
        ([], _) => None,
        ([_], [(one, its), (other, others)]) => {
            Some(format!("{one} {}  {other} {}", sign(*its), sign(*others)))
        }
        ([one], _) => Some(format!("TCP {one}")),
        ([one, other], _) => Some(format!("TCP {one}, {other}")),
        ([one, other, ..], _) => Some(format!("TCP {one}, {other}, …")),
    }
}

/// An arrow to the right or down, and a wider one that is not seen, to be hit.
fn arrow((x1, y1): (i32, i32), (x2, y2): (i32, i32)) -> Markup {
    let (head, tip) = if y1 == y2 {
        (format!("M{x2} {y2}l-9 -5v10z"), (x2 - 8, y2))
    } else {
        (format!("M{x2} {y2}l-5 -9h10z"), (x2, y2 - 8))
    };
    let line = format!("M{x1} {y1}L{} {}", tip.0, tip.1);
    html! {
        path.hit d=(line) {}
        path.line d=(line) {}
        path.head d=(head) {}
    }
}

impl Grid {
    /// A frame's name stands above its nodes, or below them where hops come from above.
    fn frame(&self, name: &str, prefix: Option<String>, first: Area, last: Area) -> Markup {
        let below = self.wide && first.y > TOP;
        let (above, under) = if below { (PADDING, HEAD) } else { (HEAD, PADDING) };
        let (x, y) = (first.x - PADDING, first.y - above);
        let (width, height) = (last.right() + PADDING - x, last.bottom() + under - y);
        let line = if below { last.bottom() + 18 } else { y + 16 };
        html! {
            rect.frame x=(x) y=(y) width=(width) height=(height) rx="8" {}
            text.name x=(first.x) y=(line) { (name) }
            @if let Some(prefix) = prefix { text.name x=(first.x) y=(line + 15) { (prefix) } }
        }
    }

    fn area(&self, (_, step, lane, lanes): &Seat) -> Area {
        let (along, across) = if self.wide { (self.width, self.height) } else { (self.height, self.width) };
        let along = step * (along + self.step_gap);
        let span = lanes * across + (lanes - 1) * self.lane_gap;
        let across = lane * (across + self.lane_gap);
        let (x, y) = (MARGIN + PADDING, TOP);
        if self.wide {
            Area { x: x + along, y: y + across, width: self.width, height: span }
        } else {
            Area { x: x + across, y: y + along, width: span, height: self.height }
        }
    }
}

impl Area {
    fn right(&self) -> i32 {
        self.x + self.width
    }

    fn bottom(&self) -> i32 {
        self.y + self.height
    }

    fn centre(&self) -> (i32, i32) {
        (self.x + self.width / 2, self.y + self.height / 2)
    }
}
