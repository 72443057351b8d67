"""133 dog breeds and what tells them apart in a drawing."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Breed:
    """A breed's looks: two coat colours and how they are laid out, and the shape of the dog."""

    name: str
    coat: str
    second: str
    pattern: str
    ears: str
    muzzle: str
    fur: str
    build: str
    tail: str


# name, coat, second colour, pattern, ears, muzzle, fur, build, tail
TABLE = """
Affenpinscher                       black    grey     solid    fold     flat    wire    toy     sickle
Afghan_hound                        gold     black    mask     feather  long    silky   tall    whip
Airedale_terrier                    tan      black    saddle   fold     long    wire    medium  sickle
Akita                               red      white    husky    prick    medium  fluffy  giant   curl
Alaskan_malamute                    slate    white    husky    prick    medium  fluffy  giant   plume
American_eskimo_dog                 white    cream    solid    prick    medium  fluffy  medium  plume
American_foxhound                   tan      white    patches  drop     medium  smooth  tall    sickle
American_staffordshire_terrier      blue     white    blaze    fold     short   smooth  stocky  whip
American_water_spaniel              liver    brown    solid    feather  medium  curly   medium  plume
Anatolian_shepherd_dog              cream    black    mask     drop     medium  smooth  giant   curl
Australian_cattle_dog               slate    tan      points   prick    medium  smooth  stocky  whip
Australian_shepherd                 blue     black    merle    fold     medium  rough   medium  stub
Australian_terrier                  blue     tan      saddle   prick    short   wire    low     stub
Basenji                             red      white    blaze    prick    medium  smooth  tall    curl
Basset_hound                        brown    white    patches  hound    long    smooth  low     sickle
Beagle                              tan      black    tricolour drop    medium  smooth  medium  sickle
Bearded_collie                      grey     white    blaze    feather  medium  silky   medium  plume
Beauceron                           black    tan      points   prick    long    smooth  tall    whip
Bedlington_terrier                  silver   white    solid    feather  long    curly   tall    whip
Belgian_malinois                    tan      black    mask     prick    long    smooth  tall    whip
Belgian_sheepdog                    black    black    solid    prick    long    fluffy  tall    plume
Belgian_tervuren                    red      black    mask     prick    long    fluffy  tall    plume
Bernese_mountain_dog                black    rust     bernese  drop     medium  rough   giant   plume
Bichon_frise                        white    white    solid    drop     short   curly   toy     curl
Black_and_tan_coonhound             black    tan      points   hound    long    smooth  tall    whip
Black_russian_terrier               black    black    solid    drop     medium  curly   giant   stub
Bloodhound                          rust     black    saddle   hound    long    smooth  giant   sickle
Bluetick_coonhound                  slate    black    spots    hound    long    smooth  tall    sickle
Border_collie                       black    white    collie   fold     medium  rough   medium  plume
Border_terrier                      tan      grey     solid    fold     short   wire    low     sickle
Borzoi                              white    gold     patches  fold     long    silky   tall    plume
Boston_terrier                      black    white    collie   bat      flat    smooth  toy     stub
Bouvier_des_flandres                grey     black    brindle  fold     short   wire    giant   stub
Boxer                               tan      black    boxer    fold     flat    smooth  tall    stub
Boykin_spaniel                      liver    brown    solid    feather  medium  curly   medium  stub
Briard                              gold     black    solid    feather  medium  silky   giant   plume
Brittany                            white    rust     patches  drop     medium  rough   medium  stub
Brussels_griffon                    rust     black    mask     fold     flat    wire    toy     stub
Bull_terrier                        white    black    eye      prick    long    smooth  stocky  whip
Bulldog                             white    tan      patches  fold     flat    smooth  stocky  stub
Bullmastiff                         tan      black    mask     fold     short   smooth  giant   whip
Cairn_terrier                       cream    grey     solid    prick    short   rough   low     sickle
Canaan_dog                          cream    white    blaze    prick    medium  smooth  medium  curl
Cane_corso                          slate    black    brindle  fold     short   smooth  giant   stub
Cardigan_welsh_corgi                blue     white    collie   bat      medium  smooth  low     plume
Cavalier_king_charles_spaniel       white    rust     hood     feather  short   silky   toy     plume
Chesapeake_bay_retriever            brown    tan      solid    drop     medium  curly   medium  sickle
Chihuahua                           tan      white    blaze    bat      short   smooth  toy     sickle
Chinese_crested                     pink     white    crest    bat      medium  smooth  toy     whip
Chinese_shar-pei                    cream    brown    mask     fold     short   wrinkly stocky  curl
Chow_chow                           rust     gold     solid    prick    flat    mane    giant   curl
Clumber_spaniel                     white    cream    patches  feather  medium  silky   low     stub
Cocker_spaniel                      gold     cream    solid    feather  short   silky   medium  stub
Collie                              gold     white    collie   fold     long    mane    tall    plume
Curly-coated_retriever              black    black    solid    drop     medium  curly   tall    whip
Dachshund                           rust     black    solid    hound    long    smooth  sausage whip
Dalmatian                           white    black    spots    drop     medium  smooth  tall    whip
Dandie_dinmont_terrier              silver   white    crest    feather  medium  wire    sausage sickle
Doberman_pinscher                   black    rust     points   prick    long    smooth  tall    stub
Dogue_de_bordeaux                   rust     brown    mask     fold     flat    smooth  giant   whip
English_cocker_spaniel              blue     black    merle    feather  medium  silky   medium  stub
English_setter                      white    grey     spots    feather  long    silky   tall    plume
English_springer_spaniel            liver    white    collie   feather  medium  silky   medium  stub
English_toy_spaniel                 black    rust     points   feather  flat    silky   toy     stub
Entlebucher_mountain_dog            black    rust     bernese  drop     medium  smooth  stocky  stub
Field_spaniel                       liver    liver    solid    feather  long    silky   medium  stub
Finnish_spitz                       rust     gold     solid    prick    medium  fluffy  medium  curl
Flat-coated_retriever               black    black    solid    drop     long    silky   tall    plume
French_bulldog                      grey     white    blaze    bat      flat    smooth  stocky  stub
German_pinscher                     red      black    solid    prick    medium  smooth  medium  stub
German_shepherd_dog                 tan      black    shepherd prick    long    rough   tall    plume
German_shorthaired_pointer          liver    white    roan     drop     long    smooth  tall    stub
German_wirehaired_pointer           liver    grey     roan     drop     long    wire    tall    stub
Giant_schnauzer                     black    grey     solid    fold     medium  wire    giant   stub
Glen_of_imaal_terrier               cream    blue     saddle   fold     medium  wire    low     sickle
Golden_retriever                    gold     cream    solid    drop     medium  rough   tall    plume
Gordon_setter                       black    rust     points   feather  long    silky   tall    plume
Great_dane                          tan      black    mask     fold     long    smooth  giant   whip
Great_pyrenees                      white    cream    patches  drop     medium  fluffy  giant   plume
Greater_swiss_mountain_dog          black    rust     bernese  drop     medium  smooth  giant   whip
Greyhound                           slate    white    blaze    fold     long    smooth  slim    whip
Havanese                            cream    brown    patches  feather  short   silky   toy     curl
Ibizan_hound                        rust     white    blaze    bat      long    smooth  slim    sickle
Icelandic_sheepdog                  gold     white    collie   prick    medium  fluffy  medium  curl
Irish_red_and_white_setter          white    red      patches  feather  long    silky   tall    plume
Irish_setter                        red      rust     solid    feather  long    silky   tall    plume
Irish_terrier                       rust     gold     solid    fold     long    wire    medium  sickle
Irish_water_spaniel                 liver    liver    crest    feather  long    curly   tall    whip
Irish_wolfhound                     grey     slate    brindle  fold     long    rough   giant   whip
Italian_greyhound                   silver   white    blaze    fold     long    smooth  slim    whip
Japanese_chin                       white    black    hood     feather  flat    silky   toy     plume
Keeshond                            grey     black    shepherd prick    medium  mane    medium  curl
Kerry_blue_terrier                  slate    blue     solid    fold     long    curly   medium  sickle
Komondor                            white    cream    cords    feather  short   cords   giant   plume
Kuvasz                              white    white    solid    drop     medium  rough   giant   plume
Labrador_retriever                  black    black    solid    drop     medium  smooth  medium  whip
Lakeland_terrier                    gold     slate    saddle   fold     medium  wire    medium  sickle
Leonberger                          gold     black    mask     drop     medium  mane    giant   plume
Lhasa_apso                          gold     white    blaze    feather  flat    silky   low     curl
Lowchen                             cream    grey     crest    feather  short   mane    toy     plume
Maltese                             white    white    solid    feather  short   silky   toy     curl
Manchester_terrier                  black    rust     points   prick    long    smooth  slim    whip
Mastiff                             cream    black    mask     drop     flat    smooth  giant   whip
Miniature_schnauzer                 slate    silver   beard    fold     short   wire    toy     stub
Neapolitan_mastiff                  slate    slate    solid    fold     flat    wrinkly giant   whip
Newfoundland                        black    brown    solid    drop     short   fluffy  giant   plume
Norfolk_terrier                     rust     tan      solid    fold     short   wire    low     stub
Norwegian_buhund                    cream    black    mask     prick    medium  fluffy  medium  curl
Norwegian_elkhound                  silver   black    shepherd prick    medium  fluffy  medium  curl
Norwegian_lundehund                 red      white    collie   prick    medium  rough   medium  sickle
Norwich_terrier                     gold     rust     solid    prick    short   wire    low     stub
Nova_scotia_duck_tolling_retriever  red      white    blaze    drop     medium  rough   medium  plume
Old_english_sheepdog                grey     white    sheepdog feather  short   fluffy  giant   stub
Otterhound                          tan      slate    saddle   hound    long    rough   giant   sickle
Papillon                            white    rust     hood     butterfly short  silky   toy     plume
Parson_russell_terrier              white    brown    eye      fold     medium  wire    medium  stub
Pekingese                           gold     black    mask     feather  flat    mane    low     plume
Pembroke_welsh_corgi                gold     white    collie   bat      medium  smooth  low     stub
Petit_basset_griffon_vendeen        white    gold     patches  hound    medium  rough   low     sickle
Pharaoh_hound                       red      tan      solid    bat      long    smooth  slim    whip
Plott                               brown    black    brindle  drop     medium  smooth  tall    whip
Pointer                             white    liver    patches  drop     long    smooth  tall    whip
Pomeranian                          gold     cream    solid    prick    short   mane    toy     curl
Poodle                              cream    white    pompom   feather  long    curly   tall    stub
Portuguese_water_dog                black    white    blaze    drop     medium  curly   medium  sickle
Saint_bernard                       rust     white    bernese  drop     short   rough   giant   plume
Silky_terrier                       blue     gold     saddle   prick    short   silky   toy     stub
Smooth_fox_terrier                  white    black    hood     fold     long    smooth  medium  stub
Tibetan_mastiff                     black    rust     points   drop     short   mane    giant   curl
Welsh_springer_spaniel              white    red      hood     feather  medium  silky   medium  stub
Wirehaired_pointing_griffon         grey     liver    patches  drop     medium  wire    medium  stub
Xoloitzcuintli                      slate    slate    solid    bat      long    smooth  slim    whip
Yorkshire_terrier                   blue     gold     yorkie   prick    short   silky   toy     stub
"""

BREEDS = {row.split()[0]: Breed(*row.split()) for row in TABLE.strip().splitlines()}

# a small set starts with those no one would mix up
UNMISTAKABLE = """
Dalmatian Dachshund Poodle Pembroke_welsh_corgi Doberman_pinscher Pomeranian Alaskan_malamute Old_english_sheepdog
Beagle Golden_retriever French_bulldog Yorkshire_terrier Great_dane Bernese_mountain_dog Irish_setter Boston_terrier
Bull_terrier Miniature_schnauzer Komondor Greyhound Saint_bernard Papillon Chow_chow Basset_hound Labrador_retriever
"""


def choose(count: int) -> list[Breed]:
    """The first `count` breeds, 1 to 133, in alphabetical order; a larger choice holds every smaller one."""
    names = list(dict.fromkeys([*UNMISTAKABLE.split(), *BREEDS]))
    return [BREEDS[name] for name in sorted(names[:count])]
