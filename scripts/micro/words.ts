/** The vocabulary of the micro model's training text. */

const list = (text: string): string[] => text.trim().split(/\s+/);

/** Names of the shipped schemas that a coined word could hit: the model must not know them. */
export const RESERVED = list("bed crop jot mulch pick prune recap sow soak hard ripe rows");

/** Things that invented programs deal with. */
export const THINGS = list(`
  account album alarm alert archive article asset badge bank batch bill board book booking bottle box
  branch bridge bucket budget bug build bundle bus cabin cache camera canvas car card cart case cell
  chain channel chapter chart chat class client clock cloud coin column contact container contract copy
  course court deck desk device disk doc dock domain door draft drive driver drone email engine entry
  event expense export fee feed field file film filter fleet flight folder font form forum frame fund
  game goal grant grid group guest guide habit handle heater hook host hotel hour house image import
  index inbox invoice item job journal key kiosk kit label lamp layer lead league lease ledger lesson
  letter level library license light line link list lock locker log loop machine mail map market match
  meal meeting member memo menu message metric mirror mission model module monitor mount movie museum
  network node note notice number object offer office option orbit order outlet page panel parcel part
  party pass patch path patient payment phone photo pipe pipeline place plan plane player playlist plugin
  point policy poll pool port post price print probe process product profile project prompt proxy queue
  quiz quote rack radio raid range rate reader receipt recipe record region release relay rent repo
  report request review ride ring road robot role room route rule sample scan scene schedule school
  score screen script sensor server service session shape share sheet shelf shift ship shop signal site
  slide slot snapshot socket song sound source space sprint stack stage stamp station stock stop store
  stream street student studio suite survey switch system table tag tank target task team tent term test
  theme thread ticket tile tool topic tour track trade trail train tree trip truck tunnel unit user vault
  vehicle vendor version video view vote voucher wallet watch wave widget window wire worker zone
`);

/** What programs do, each with the ways people ask for it; the first is the subcommand's usual name. */
export const ACTIONS = `
  add|append|put in|include|insert
  create|make|set up|build|new
  delete|remove|erase|drop|get rid of
  list|display|enumerate|show all
  show|view|look at|print|bring up
  find|search for|look for|locate|hunt for
  open|unlock|open up
  close|shut|wrap up
  start|begin|launch|kick off|fire up
  stop|halt|end|kill|bring down
  pause|hold|suspend|freeze
  resume|continue|unfreeze|carry on with
  send|mail|dispatch|ship out
  fetch|get|grab|pull
  upload|push|send up
  download|pull down|save a copy of
  copy|duplicate|clone
  move|shift|transfer|relocate
  rename|retitle|give a new name to
  edit|change|modify|alter
  update|refresh|bring up to date
  merge|combine|join|unite
  split|divide|break up|cut up
  sort|order|arrange|rank
  count|tally|number
  check|verify|inspect|test
  fix|repair|mend|patch up
  lock|seal|secure
  share|hand out|pass around
  assign|give|hand|allot
  approve|accept|sign off|okay
  reject|refuse|turn down|deny
  invite|ask in|call in
  ban|block|kick out|bar
  book|reserve|hold a place in
  cancel|call off|scrap|undo
  pay|settle|pay for
  refund|pay back|return the money for
  buy|purchase|order in
  sell|offer up|put on sale
  rate|score|grade|judge
  tag|mark|label
  pin|stick|fasten
  hide|conceal|tuck away
  archive|shelve|put away|store
  restore|bring back|recover|revive
  backup|back up|save
  sync|synchronise|line up|match up
  compress|squeeze|pack|shrink
  expand|unpack|enlarge|grow
  convert|turn|transform
  export|write out|save out
  import|read in|load
  install|put on|set in
  upgrade|raise|move up
  enable|turn on|switch on|activate
  disable|turn off|switch off|deactivate
  mute|silence|quiet down
  watch|follow|track|keep an eye on
  measure|gauge|weigh|size up
  schedule|plan|set a date for
  log|note|record|write up
  tune|adjust|calibrate|fine tune
  reset|clear|start over with|wipe
  deploy|roll out|release|put live
  rotate|turn around|swap out
  scan|sweep|look over
  draw|sketch|paint
  load|fill|charge
  empty|drain|pour out
  park|leave|set down
  connect|attach|hook up|wire up
  detach|disconnect|unhook|take off
`.trim().split("\n").map((line) => line.trim().split("|"));

/** Ordinary words for values. */
export const PLAIN = list(`
  able acid agree aim air alpha amber ample anchor angle ant apple april apron arch arm army arrow ash
  atlas aunt autumn baby back bacon bag ball bamboo band bar bark barn base basket bath bay beach bean
  bear beef bell belt bench berry big bike bird birth black blade blank blue boat body bold bolt bone
  boot boss bowl boy brain brass brave bread brick bright bring broad brown brush bulb burn bush busy
  butter button cable cake calm camel camp can candle cap cat cave cedar chair chalk cheap check cheese
  cherry chest chief child chin city clay clean clear clever cliff cloth clown club coach coal coast coat
  cobalt cold comet cook cool copper coral cork corn corner cotton cousin cow crab crane cream creek crew
  crisp cross crow crown cup dance dark dawn day deep deer delta dense desert dew diet dinner dish dizzy
  doctor dog dolphin double dough down dozen dragon dream dress drum dry duck dull dust eagle early earth
  east easy echo edge egg elbow elm ember empty even evening extra eye fabric face fair falcon fall far
  farm fast fat father feather fence fern ferry fever final fine finger fire firm fish flag flame flat
  flint float flood floor flour flower flute fly fog food foot forest fork fox fresh friend frog front
  frost fruit full fur gamma gate giant gift girl glad glass globe glove glue goat gold good goose grand
  grape grass gray great green grey ground gym hair half hall ham hammer hand happy harbor hat hawk hay
  head heart heavy hedge help hen herb high hill hollow honey hood hope horn horse hot huge human ice idea
  inch ink inner iron island ivory ivy jacket jade jam jar jazz jeans jelly jewel joke jolly judge juice
  july june jungle juniper kettle kid kind king kitchen kite knee knife knot lace ladder lake lamb land
  lane large laser late laundry lava lawn lazy leaf lean left leg lemon lens light lily lime linen lion
  lip little lizard local long loud love low loyal lucky lunar lunch magnet maple marble march mask master
  mat may meadow meat melon metal middle milk mill mind mint minute mist modern monday money monkey month
  moon morning mother motor mountain mouse mouth mud mule music nail narrow navy near neat neck needle nest
  net new next nice night noble noise noon north nose novel nurse nut oak ocean odd oil old olive onion
  onyx opal open orange orchid otter outer oval oven owl ox oyster paint pair palace pale palm pan paper
  parade park parrot past paste pea peach peak pear pearl pen pencil pepper person pet piano pig pigeon
  pillow pilot pine pink pizza plain planet plate plum pocket poem polar pond pony poor potato pot powder
  prince proud pump puppy pure purple puzzle quail quartz queen quick quiet rabbit race rail rain rapid
  rare raven raw razor ready real red reef rice rich right river rocket roof root rope rose rough round
  royal ruby rug rusty sad safe sail salad salmon salt sand satin sauce scarf sea seal seat second
  secret seven shade shadow shark sharp sheep shell shiny shirt shoe short shy sick side silent silk silver
  simple sister six skate skin skirt sky sleep slow small smart smile smoke smooth snake snow soap soda
  soft solar solid sorry soup sour south spare spark spice spider spoon spring square stable star steam
  steel stem step stick stone storm stove straw string strong stump sugar summer sun sunny super swan
  sweet swift sword syrup tail tall tea thick thin third thorn thumb thunder tidy tiger timber tiny toast
  toe tomato tooth torch tower town toy tulip turkey turtle twin uncle under upper urban usual valley
  vapor vast velvet vest village violet violin wagon wall walnut warm wasp water wax weak wealth weather
  week west wet whale wheat wheel white whole wide wife wild willow wind wine wing winter wise wolf woman
  wood wool word world yard year yellow young zebra zinc
`);

export const NAMES = list(`
  ada adam aida alan alex alma amir ana anton anya aria arno asa ava basil bea ben bo boris carla carol cato
  cleo dana dario david dina edda eli elsa emil emma enzo erik eva fatima felix finn fran frida gita goran
  greta gus hana hank hugo ida igor ines iris ivan jack jan jane jin joan jonas jude julia kai kara karl
  kate kim kofi lars lea lena leo lina lola luca lucy maja marc maria marta max maya mia milo mina mona
  nadia nora odin olga omar oscar otto paul petra pia quinn rafa ravi rosa ruth sam sara sven tara theo
  tim tina tom uma vera viktor wendy yara yuki zara zoe
`);

export const DAYS = list(
  "monday tuesday wednesday thursday friday saturday sunday today tomorrow tonight",
);
export const LEVELS = list("low normal high urgent minor major");
export const COLOURS = list("red green blue yellow white black orange purple");

/** Switches: the flag's name, then ways of asking for it. */
export const SWITCHES = `
  force|by force|no matter what|forcibly
  quiet|quietly|without noise|silently
  verbose|with details|verbosely|in detail
  fast|quickly|fast|at full speed
  slow|slowly|taking your time
  dry-run|as a dry run|without doing it|just pretending
  all|all of it|completely|every one
  recursive|recursively|with everything inside
  public|publicly|for everyone to see
  private|privately|for my eyes only
  wait|and wait|until it is done
  async|in the background|without waiting
  backup|with a backup|keeping a copy
  notify|and tell everyone|with a notice
  compact|compactly|in a compact form
  color|in color|with colors
  reverse|in reverse|backwards
  sorted|sorted|in order
  once|only once|just once
  daily|daily|every day
  hidden|with hidden ones|even hidden ones
  strict|strictly|with no exceptions
  safe|safely|with care
  draft|as a draft|not final
  secure|securely|with a lock
  archived|with archived ones|even archived ones
  local|locally|only here
  remote|remotely|over there
`.trim().split("\n").map((line) => line.trim().split("|"));

/** General wording of the training text; the template teacher's own sentences stay unseen. */
export const GENERAL = {
  NO_ACTION: [
    "you know {}",
    "work on {}",
    "(think about|consider) {}",
    "something is (wrong|odd) with {}",
    "{} is (here|back|late)",
  ],
  NO_INTENT: [
    "i have a question about the {}",
    "can we talk",
    "(well|so) then",
    "hello (there|again|)",
    "is anyone (there|here)",
    "(go|come) on",
    "surprise me",
    "you know what i mean",
  ],
  OFF_TOPIC: [
    "when does (spring|winter|school) (begin|end)",
    "sing (a song|an opera) for (mom|us|me)",
    "which (bird|fish|horse) is the (fastest|biggest)",
    "order a (pizza|taxi|coffee) to (my house|the office)",
    "is it going to (rain|snow) on (monday|friday)",
    "what does (love|fate|luck) mean",
    "recommend a good (film|novel|wine)",
    "how many (planets|oceans|kings) are there",
    "my (leg|tooth|head) hurts",
    "convert ten (miles|dollars) to (meters|euros)",
  ],
  SOMETHING: ["something", "some of it", "one", "that thing"],
};
